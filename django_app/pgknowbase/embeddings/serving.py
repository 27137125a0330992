"""The embedding space that searches read: its description, its embedder, and searching while another takes over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.embeddings.base import Embedder
from pgknowbase.embeddings.factory import get_embedder
from pgknowbase.errors import SearchError, SpaceMismatchError

# Each attempt loses only to another activation between two statements, and those are minutes apart.
MAX_ATTEMPTS = 5

_last_active: dict[str, "ActiveSpace"] = {}


class Embedded(Protocol):
    """What says by which model a space is embedded: an ``ActiveSpace``, or a row of ``EmbeddingSpace``."""

    @property
    def name(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def embedding(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ActiveSpace:
    """The space that searches read, as a value: what they need of it, without Django's models.

    Attributes:
        backend: dotted path of the embedding backend.
        embedding: the entry of EMBEDDINGS that the space was made with.
    """

    id: int
    backend: str
    model: str
    dimensions: int
    embedding: str
    name: str


def read_active_space(using: str) -> ActiveSpace:
    """The active space, read by one statement.

    Raises:
        SearchError: no space is active.
    """
    rows = gateway.fetch(using, "active_space")
    if not rows:
        raise SearchError(f"No embedding space is active: run {command_line('migrate', using)!r}.")
    return ActiveSpace(*rows[0])


def find_embedding(space: Embedded) -> str | None:
    """The entry of EMBEDDINGS that makes the vectors of ``space``: the one that made it, else one that is alike."""
    entries = get_settings().embeddings
    wanted = (space.backend, space.model, space.dimensions)
    alike = [name for name, entry in entries.items() if (entry.backend, entry.model, entry.dimensions) == wanted]
    return space.embedding if space.embedding in alike else next(iter(alike), None)


def search_active_space(using: str, search: Callable[[ActiveSpace, Embedder], list[gateway.Row]]) -> list[gateway.Row]:
    """The rows of a search in the active space, whose query is embedded by that space's model, whatever happens.

    The space that was active last is tried first, so a search costs no look at the table of spaces unless another was
    activated since. It is the search's own statement that says whether it was: a look before it could be outdated.

    Args:
        search: runs one statement in the space, which gives rows even where nothing is found: their first column
            says whether the space is the active one (``pgknowbase_space_serves_v1``), the others are null then.

    Returns:
        The rows without the first column.

    Raises:
        SearchError: no space is active.
        SpaceMismatchError: the settings have no embedder for the active space, or this transaction is older than its
            activation and cannot see it.
    """
    space = _last_active.get(using)
    for _ in range(MAX_ATTEMPTS):
        if space is None or find_embedding(space) is None:
            space = _last_active[using] = read_active_space(using)
        rows = search(space, _embedder(using, space))
        if not rows or rows[0][0]:
            return [row[1:] for row in rows if row[1] is not None]
        _last_active.pop(using, None)
        space = None
    raise SpaceMismatchError("The active embedding space has changed since this transaction began: start a new one.")


def active_embedder(using: str) -> tuple[ActiveSpace, Embedder]:
    """The active space, and the embedder of its vectors.

    Raises:
        SearchError: no space is active.
        SpaceMismatchError: the settings have no embedder for it.
    """
    space = read_active_space(using)
    return space, _embedder(using, space)


def _embedder(using: str, space: ActiveSpace) -> Embedder:
    embedding = find_embedding(space)
    if embedding is None:
        settings = get_settings()
        entry = settings.embeddings[settings.spaces.get(space.name, settings.space).embedding]
        raise mismatch_error(
            space.name,
            [
                f"{name} is {getattr(space, name)!r}, the settings say {getattr(entry, name)!r}"
                for name in ("backend", "model", "dimensions")
                if getattr(space, name) != getattr(entry, name)
            ],
            is_active=True,
            using=using,
        )
    return get_embedder(embedding)


def mismatch_error(space: str, differences: list[str], *, is_active: bool, using: str) -> SpaceMismatchError:
    """The error for a space that is not what the settings say. ``differences``: such as ``"model is 'a', ..."``."""
    only_backend = len(differences) == 1 and differences[0].startswith("backend ")
    add, rebuild, accept = (
        command_line(f"pgknowbase_space {action}", using) for action in ("add NAME", "rebuild", "accept")
    )
    return SpaceMismatchError(
        f"The {'active ' if is_active else ''}embedding space {space!r} differs from the settings:"
        f" {'; '.join(differences)}. Put the settings back, fill another space beside it with {add!r},"
        f" or run {rebuild!r} to embed everything anew"
        f"{f', or {accept!r} if the vectors of both backends are the same' if only_backend else ''}."
    )
