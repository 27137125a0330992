"""Checks that every backend makes: of texts before a call, of vectors after it."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pgknowbase.embeddings.base import BatchLimits
from pgknowbase.errors import EmbeddingSetupError, PermanentEmbeddingError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SHOWN = 60


def check_texts(texts: Sequence[str], limits: BatchLimits) -> None:
    """Refuse what no backend can embed: empty or whitespace-only text, broken Unicode, more than ``limits``.

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
    """Consecutive runs of ``texts`` that each fit into ``limits``; a longer text is a run of its own."""
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
