"""Which space a search reads: its query must be embedded by that space's model, whatever happens meanwhile."""

from collections.abc import Callable

from pgknowbase import gateway
from pgknowbase.errors import SearchError, SpaceMismatchError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.spaces import active_space, embedding_of, known_embedding

TRIES = 5

_last: dict[str, EmbeddingSpace] = {}


def in_serving_space(using: str, search: Callable[[int, str], list[gateway.Row]]) -> list[gateway.Row]:
    """The rows of a search in the active space.

    ``search`` takes a space's id and its entry of EMBEDDINGS, and runs one statement; the first column tells whether
    that space was the active one (``pgknowbase_space_serves_v1``), the others are null where there is no row. The space
    that served last is tried first, so a search costs no look at the table of spaces unless another was activated.

    Raises:
        SearchError: no space is active.
        SpaceMismatchError: the settings have no embedder for the active space, or this transaction is older than its
            activation and cannot see it.
    """
    space = _last.get(using)
    for _ in range(TRIES):
        if space is None or embedding_of(space) is None:
            space = _last[using] = _active(using)
        rows = search(space.pk, known_embedding(space))
        if not rows or rows[0][0]:
            return [row[1:] for row in rows if row[1] is not None]
        _last.pop(using, None)
        space = None
    raise SpaceMismatchError("The active embedding space has changed since this transaction began: start a new one.")


def _active(using: str) -> EmbeddingSpace:
    space = active_space(using)
    if space is None:
        raise SearchError("No embedding space is active: run 'manage.py migrate'.")
    return space
