"""all-MiniLM-L6-v2 on the CPU of this machine: no network, no API key, no torch."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgknowbase.embeddings import minilm
from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector, check_matrix, check_texts, shorten
from pgknowbase.embeddings.weights import cache_directory, is_cached, read_or_build, require
from pgknowbase.errors import ConfigurationError, PermanentEmbeddingError, UnknownTextError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PRECISIONS = ("int8", "fp32")
# Of texts of unknown words alone, such as Thai ones, the vectors are all the same. Where more than this share of the
# words is unknown, it is hardly the text that decides how near it is to another. Of Chinese texts, which a few known
# characters tell apart, two thirds are.
MOST_UNKNOWN = 0.9


_UNKNOWN = "[UNK]"
_SPECIAL = 2  # the marks of start and end


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: Any
    tokenizer: Any
    unknown: int | None


class LocalEmbedder(Embedder):
    """all-MiniLM-L6-v2: 384 dimensions, length 1, English, at most 256 tokens (the rest is not read).

    The model is built from the installed weights once per machine (seconds), kept in the cache directory, and
    loaded at the first use. One instance is shared by all threads.

    Args:
        model: ``"all-MiniLM-L6-v2"``.
        dimensions: 384.
        precision: ``"int8"`` (23 MB, faster) or ``"fp32"`` (87 MB).
        threads: CPU threads of one call; default all of them.
        cache_dir: where the built model is kept; default ``PGKNOWBASE_CACHE_DIR``, else the user's cache
            directory.

    Raises:
        ConfigurationError: an argument is wrong.
        MissingExtraError: a package or the weights are absent.
    """

    limits = BatchLimits(max_texts=256, max_characters=1_000_000)
    max_tokens = minilm.MAX_TOKENS

    def __init__(
        self,
        *,
        model: str = minilm.MODEL,
        dimensions: int = minilm.DIMENSIONS,
        precision: str = "int8",
        threads: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if model != minilm.MODEL:
            raise ConfigurationError(f"LocalEmbedder has no model {model!r}: set MODEL to {minilm.MODEL!r}.")
        if dimensions != minilm.DIMENSIONS:
            raise ConfigurationError(
                f"{model!r} has {minilm.DIMENSIONS} dimensions, not {dimensions!r}: set DIMENSIONS to "
                f"{minilm.DIMENSIONS}."
            )
        if precision not in PRECISIONS:
            raise ConfigurationError(f"PRECISION {precision!r} is unknown: use one of {PRECISIONS!r}.")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ConfigurationError(f"THREADS is {threads!r}: use a whole number from 1 on, or leave it out.")
        self.model, self.dimensions, self.precision = model, dimensions, precision
        self.threads = threads or os.cpu_count() or 1
        self.path: Path = cache_directory(cache_dir) / f"{model}-{precision}-v{minilm.FORMAT_VERSION}.onnx"
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()
        require(("numpy", "onnxruntime", "tokenizers"), backend="LocalEmbedder", install=minilm.INSTALL)
        if not is_cached(self.path):
            minilm.require_weights()

    @property
    def fingerprint(self) -> str:
        """See ``Embedder``."""
        return repr((super().fingerprint, self.precision))

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors and the token counts that the model read, special tokens included. See ``Embedder``."""
        check_texts(texts, self.limits)
        if not texts:
            return Embeddings([], [])
        import numpy as np

        loaded = self.load()
        ids = [encoding.ids for encoding in loaded.tokenizer.encode_batch_fast(list(texts))]
        for position, text_ids in enumerate(ids):
            if len(text_ids) <= _SPECIAL:
                raise PermanentEmbeddingError(
                    f"Text {position} ({shorten(texts[position])!r}) has no token that {self.model!r} can "
                    "read: leave it out."
                )
            if (unknown := text_ids.count(loaded.unknown)) and unknown > MOST_UNKNOWN * _words(loaded, text_ids):
                raise UnknownTextError(
                    f"{self.model!r} knows hardly a word of text {position} ({shorten(texts[position])!r}), so it gets"
                    " no vector. Keyword search finds it; for semantic search use a model that knows its language."
                )
        # One by one: int8 takes its scale from all that runs together, so a text's vector would depend on
        # its neighbours (cosine down to 0.97). On a CPU it is as fast as padded batches.
        matrix = np.stack([_run(loaded.session, text_ids) for text_ids in ids])
        check_matrix(matrix, model=self.model)
        return Embeddings(matrix.tolist(), [len(text_ids) for text_ids in ids])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text, special tokens included, also those that the model would not read."""
        encodings = self.load().tokenizer.encode_batch(list(texts))
        return [
            len(encoding.ids) + sum(len(rest.ids) - _SPECIAL for rest in encoding.overflowing) for encoding in encodings
        ]

    def embed_query(self, text: str) -> Vector:
        """Queries and documents are embedded alike. See ``Embedder``."""
        return self.embed_documents([text]).vectors[0]

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

    def _open(self) -> _Loaded:
        import onnxruntime  # type: ignore[import-untyped]
        from tokenizers import Tokenizer

        data = read_or_build(self.path, lambda target: minilm.build(target, precision=self.precision))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        # Threads that spin while they wait take the CPU from the database and from other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_str(session.get_modelmeta().custom_metadata_map[minilm.TOKENIZER_KEY])
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=minilm.MAX_TOKENS)
        return _Loaded(session, tokenizer, tokenizer.token_to_id(_UNKNOWN))


def _words(loaded: _Loaded, ids: Sequence[int]) -> int:
    """How many words a text has that the model could know; what continues a word begins with two hash signs."""
    tokens = map(loaded.tokenizer.id_to_token, ids)
    return sum(token == _UNKNOWN or token.isalnum() for token in tokens)


def _run(session: Any, ids: Sequence[int]) -> "npt.NDArray[np.float32]":
    import numpy as np

    vector: npt.NDArray[np.float32] = session.run(None, {"input_ids": np.array([ids], np.int64)})[0][0]
    return vector
