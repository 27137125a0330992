"""Static token vectors (wordllama): far faster than a transformer and clearly weaker at retrieval."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector, check_matrix, check_texts
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
    _TOKENIZER: "bf467c9e0f536bda271283c6ef85eb1a943e3196b621c8a912d64953b205df83",
}
_SIGNS: Final = ("  ", "\u2581", "<s>", "</s>", "<unk>")
_REMEMBERED_WORDS: Final = 65_536
_WORD_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class _Loaded:
    table: "npt.NDArray[np.float32]"
    tokenizer: "_WordTokenizer"


class StaticEmbedder(Embedder):
    """The mean of wordllama's token vectors, length 1, of the lower-cased text.

    The vectors are those of ``WordLlama.load(trunc_dim=dimensions).embed(text.lower(), norm=True)``;
    wordllama itself is never imported. The files are read at the first use, and one instance is shared by all
    threads.

    Args:
        model: ``"wordllama-256"``, ``"wordllama-128"`` or ``"wordllama-64"``.
        dimensions: the number in the model's name.

    Raises:
        ConfigurationError: an argument is wrong.
        MissingExtraError: a package or the weights are absent.
    """

    dense_weight = 0.2  # it knows words, not sentences
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
        ids = loaded.tokenizer.ids([text.lower() for text in texts])
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
        return _Loaded(np.ascontiguousarray(table[:, : self.dimensions]), _WordTokenizer(tokenizer))


class _WordTokenizer:
    """Gives exactly the tokens of ``tokenizer``, faster, by remembering those of words.

    No token of this vocabulary reaches across a single space, so the tokens of a text are those of its words.
    What breaks the rule (several spaces in a row, the sign for a space, a special token) is tokenized whole.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._recent: dict[str, list[int]] = {}
        self._older: dict[str, list[int]] = {}

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        split = [None if any(sign in text for sign in _SIGNS) else text.split(" ") for text in texts]
        # An empty word comes from a space at either end.
        split = [None if words is None or not (words[0] and words[-1]) else words for words in split]
        known = self._known(set(chain.from_iterable(filter(None, split))))
        whole = iter(self._encode([text for text, words in zip(texts, split, strict=True) if words is None]))
        return [
            next(whole) if words is None else list(chain.from_iterable(map(known.__getitem__, words)))
            for words in split
        ]

    def _known(self, words: set[str]) -> dict[str, list[int]]:
        recent, older = self._recent, self._older
        known = {word: ids for word in words if (ids := recent.get(word))}
        missing = words - known.keys()
        found = {word: ids for word in missing if (ids := older.get(word))}
        unseen = list(missing - found.keys())
        found.update(zip(unseen, self._encode(unseen), strict=True))
        recent.update(item for item in found.items() if len(item[0]) <= _WORD_LENGTH)
        known.update(found)
        if len(recent) > _REMEMBERED_WORDS:
            self._recent, self._older = {}, recent
        return known

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _source() -> Path:
    directory = package_directory("wordllama")
    if directory is None or not all((directory / name).is_file() for name in _SHA256):
        raise MissingExtraError(f"The weights of wordllama are not installed: {_INSTALL}.")
    return directory
