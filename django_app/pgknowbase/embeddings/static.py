"""Static token vectors (wordllama): about 80 times faster than a transformer and clearly weaker at retrieval."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector
from pgknowbase.embeddings.validation import check_matrix, check_texts
from pgknowbase.embeddings.weights import package_directory, read_safetensors, require, verify
from pgknowbase.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MODELS: Final = {"wordllama-256": 256, "wordllama-128": 128, "wordllama-64": 64}

_INSTALL: Final = "run `pip install 'django-pgknowbase[static]'` and `pip install --no-deps wordllama`"
_WEIGHTS: Final = "weights/l2_supercat_256.safetensors"
_TOKENIZER: Final = "tokenizers/l2_supercat_tokenizer_config.json"
_SHA256: Final = {
    _WEIGHTS: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    _TOKENIZER: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}


@dataclass(frozen=True, slots=True)
class _Loaded:
    table: "npt.NDArray[np.float32]"
    tokenizer: Any


class StaticEmbedder(Embedder):
    """The mean of wordllama's token vectors, length 1, of the lower-cased text.

    The vectors are those of ``WordLlama.load(trunc_dim=dimensions).embed(text.lower(), norm=True)``; wordllama itself is
    never imported. The files are read at the first use, and one instance is shared by all threads.

    Args:
        model: ``"wordllama-256"``, ``"wordllama-128"`` or ``"wordllama-64"``.
        dimensions: the number in the model's name.

    Raises:
        ConfigurationError: an argument is wrong.
        MissingExtraError: a package or the weights are absent.
    """

    limits = BatchLimits(max_texts=2048, max_characters=5_000_000)

    def __init__(self, *, model: str = "wordllama-256", dimensions: int = 256) -> None:
        if model not in MODELS:
            raise ConfigurationError(f"StaticEmbedder has no model {model!r}: set MODEL to one of {list(MODELS)!r}.")
        if dimensions != MODELS[model]:
            raise ConfigurationError(
                f"{model!r} has {MODELS[model]} dimensions, not {dimensions!r}: set DIMENSIONS to {MODELS[model]}."
            )
        self.model, self.dimensions = model, dimensions
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()
        require(("numpy", "tokenizers"), backend="StaticEmbedder", install=_INSTALL)
        _source()

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors and token counts. See ``Embedder``."""
        check_texts(texts, self.limits)
        if not texts:
            return Embeddings([], [])
        import numpy as np

        loaded = self.load()
        lowered = [text.lower() for text in texts]
        ids = [encoding.ids for encoding in loaded.tokenizer.encode_batch_fast(lowered, add_special_tokens=False)]
        matrix = np.zeros((len(ids), self.dimensions), np.float32)
        for row, text_ids in enumerate(ids):
            if text_ids:
                np.add.reduce(loaded.table.take(text_ids, axis=0), axis=0, out=matrix[row])
        check_matrix(matrix, model=self.model)
        # The length of the mean is divided out, so the sum serves as well.
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        return Embeddings(matrix.tolist(), [len(text_ids) for text_ids in ids])

    def embed_query(self, text: str) -> Vector:
        """Queries and documents are embedded alike. See ``Embedder``."""
        return self.embed_documents([text]).vectors[0]

    def load(self) -> _Loaded:
        """Read the weights (33 MB in memory at 256 dimensions) now instead of at the first use.

        Raises:
            MissingExtraError: the weights are absent or not the tested ones.
        """
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._open()
        return self._loaded

    def _open(self) -> _Loaded:
        import numpy as np
        from tokenizers import Tokenizer

        directory = _source()
        for name, digest in _SHA256.items():
            verify(directory / name, digest, install=_INSTALL)
        table = read_safetensors(directory / _WEIGHTS)["embedding.weight"]
        tokenizer = Tokenizer.from_file(str(directory / _TOKENIZER))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return _Loaded(np.ascontiguousarray(table[:, : self.dimensions]), tokenizer)


def _source() -> Path:
    directory = package_directory("wordllama")
    if directory is None or not all((directory / name).is_file() for name in _SHA256):
        raise MissingExtraError(f"The weights of wordllama are not installed: {_INSTALL}.")
    return directory
