"""The interface of embedding backends, and the checks that every backend makes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pgknowbase.embeddings.rate_headers import ReportedRate
from pgknowbase.errors import ConfigurationError, EmbeddingSetupError, PermanentEmbeddingError

Vector: TypeAlias = Sequence[float]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The largest call of ``embed_documents``: number of texts, and characters of all texts together."""

    max_texts: int
    max_characters: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The result of embedding n texts.

    ``vectors``: n vectors of ``Embedder.dimensions`` floats, in the order of the texts. ``tokens``: their n token
    counts, or None if the backend does not know them. ``total_tokens``: what the provider says that it bills for all of
    them together, or None. ``rate``: what its headers say of its limits, or None.
    """

    vectors: Sequence[Vector]
    tokens: Sequence[int] | None = None
    total_tokens: int | None = None
    rate: ReportedRate | None = None


class Embedder(ABC):
    """A model and a way to reach it. Instances are safe to share between threads.

    Documents and queries have a method each, because some models treat them differently. Errors are
    ``RetryableEmbeddingError`` or ``PermanentEmbeddingError``, nothing else; no backend returns
    a vector that is not finite, is zero or has another length than ``dimensions``. Wrong settings (no key, no
    weights) are a ``ConfigurationError``, when the backend is built or at its first use.

    >>> embedder = get_embedder()
    >>> len(embedder.embed_query("steam the rice")) == embedder.dimensions
    True
    """

    model: str
    dimensions: int
    limits: BatchLimits
    provider: str = ""
    """Who makes the vectors, for people who read why nothing is embedded: the host of a server, '' for this process."""

    # What its similarities weigh against words in a hybrid search, where nothing else is set or fitted. 0.45 suits
    # language models; see docs/searching.md for how it was found.
    dense_weight: float = 0.45

    # How many tokens of a text the model reads; None where there is no such bound, or none that is known here.
    max_tokens: int | None = None

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """How many tokens of the model each text has; for backends with ``max_tokens``, which chunks keep to."""
        raise NotImplementedError

    def reads(self, text: str) -> bool:
        """Whether the model knows the language of a search text. If not, words alone decide a hybrid search.

        True here: only a backend that sees the tokens of its model can tell.
        """
        return True

    @property
    def fingerprint(self) -> str:
        """What decides the vector of a document besides its text: equal fingerprints, equal vectors."""
        return repr((f"{type(self).__module__}.{type(self).__qualname__}", self.model, self.dimensions))

    def verify(self) -> None:  # noqa: B027 - most backends need nothing beyond what their constructor sees
        """Check that this machine has what a call needs, such as an API key. Makes no request.

        Raises:
            ConfigurationError: something is missing; the message says what to do.
        """

    @abstractmethod
    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Embed up to ``limits`` non-empty texts.

        Raises:
            RetryableEmbeddingError: the same call may succeed later.
            PermanentEmbeddingError: it never will; with several texts, at least one of them is at fault.
            UnknownTextError: so it is, because the model knows hardly any token of that text.
        """

    @abstractmethod
    def embed_query(self, text: str) -> Vector:
        """Embed one search text; the vector has ``dimensions`` floats. Raises as ``embed_documents``."""

    def embed_query_with_usage(self, text: str) -> Embeddings:
        """As ``embed_query``, with what the provider bills, for backends that know it."""
        return Embeddings([self.embed_query(text)])


# Checks: of texts before a call, of vectors after it


if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SHOWN = 60


def check_numbers(**options: object) -> None:
    """Check that each option is a number above 0.

    Raises:
        ConfigurationError: names the first that is not.
    """
    for name, value in options.items():
        if not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(f"{name.upper()} is {value!r}: set a number above 0.")


def check_texts(texts: Sequence[str], limits: BatchLimits) -> None:
    """Refuse what no backend can embed: blank text, lone surrogates, more than ``limits``.

    Raises:
        PermanentEmbeddingError: names the position of the first text at fault.
    """
    if isinstance(texts, str):
        raise PermanentEmbeddingError(
            f"Expected a list of texts and got one string, {shorten(texts)!r}: put it in a list."
        )
    if len(texts) > limits.max_texts:
        raise PermanentEmbeddingError(
            f"{len(texts)} texts in one call, where at most {limits.max_texts} may be: split them with split_batches()."
        )
    for position, text in enumerate(texts):
        _check_text(text, position)
    characters = sum(map(len, texts))
    if characters > limits.max_characters:
        raise PermanentEmbeddingError(
            f"{characters} characters in one call of {len(texts)} texts, where at most "
            f"{limits.max_characters} may be: "
            "split the call with split_batches(), and a longer text into chunks."
        )


def _check_text(text: object, position: int) -> None:
    if not isinstance(text, str):
        raise PermanentEmbeddingError(f"Text {position} is {type(text).__name__!r}, not a string: pass text only.")
    if not text or text.isspace():
        raise PermanentEmbeddingError(
            f"Text {position} is empty ({shorten(text)!r}), and an empty text has no vector: leave it out."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PermanentEmbeddingError(
            f"Text {position} holds the lone surrogate {text[error.start]!r} at {error.start}, which is "
            "not Unicode: "
            "decode the source with errors='replace'."
        ) from error


def check_vectors(vectors: Sequence[Sequence[float]], *, model: str, dimensions: int) -> None:
    """Refuse vectors that must not be stored: of another length, not finite, zero.

    Raises:
        EmbeddingSetupError: another length.
        PermanentEmbeddingError: not finite or zero. Both name the model, the position and the numbers.
    """
    for position, vector in enumerate(vectors):
        if len(vector) != dimensions:
            raise EmbeddingSetupError(
                f"The model {model!r} returned {len(vector)} dimensions for text {position}, and "
                "DIMENSIONS is "
                f"{dimensions}: set DIMENSIONS (or the model) so that both agree."
            )
        # The sum of squares is not finite if any number is not, and 0 only for the zero vector.
        norm = math.hypot(*vector)
        if not math.isfinite(norm):
            bad = next((value for value in vector if not math.isfinite(value)), norm)
            raise _unusable(model, position, f"{bad!r} among its {dimensions} numbers")
        if norm == 0:
            raise _unusable(model, position, f"only zeros ({dimensions} of them)")


def check_matrix(matrix: "npt.NDArray[np.float32]", *, model: str) -> None:
    """``check_vectors`` for a matrix (texts, dimensions) that a local model computed.

    Raises:
        PermanentEmbeddingError: names the model and the position.
    """
    import numpy as np

    norms = np.einsum("ij,ij->i", matrix, matrix)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        position = int(bad.argmax())
        raise _unusable(model, position, "no direction (no known token, or numbers that are not finite)")


def split_batches(texts: Sequence[str], limits: BatchLimits) -> Iterator[Sequence[str]]:
    """Split ``texts`` into consecutive batches that fit into ``limits``. A longer text is a batch of its own."""
    start, characters = 0, 0
    for position, text in enumerate(texts):
        over = characters + len(text) > limits.max_characters or position - start >= limits.max_texts
        if over and position > start:
            yield texts[start:position]
            start, characters = position, 0
        characters += len(text)
    if start < len(texts):
        yield texts[start:]


def shorten(text: str, length: int = _SHOWN) -> str:
    """The first ``length`` characters, on one line."""
    line = " ".join(text[: length * 2].split()) or text[:length]
    return line if len(line) <= length and len(text) <= length * 2 else line[:length] + "..."


def _unusable(model: str, position: int, what: str) -> PermanentEmbeddingError:
    return PermanentEmbeddingError(
        f"The model {model!r} returned a vector for text {position} with {what}, which cannot be compared: "
        "leave that text out or use another model."
    )
