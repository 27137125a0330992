"""Embedding spaces: what the settings describe, what the database has, and how they differ."""

from dataclasses import asdict, dataclass

from django.db import transaction

from pgknowbase.conf import SpaceSettings, get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.embeddings.serving import find_embedding, mismatch_error
from pgknowbase.errors import SpaceError, SpaceMismatchError
from pgknowbase.models import EmbeddingSpace, ExternalData, ModelProbe


@dataclass(frozen=True, slots=True)
class SpaceSpec:
    """What makes one space differ from another."""

    backend: str
    model: str
    dimensions: int
    chunk_size: int
    chunk_overlap: int
    template: str
    splitter: str
    index: str
    storage: str

    @classmethod
    def from_settings(cls, space: SpaceSettings | None = None) -> "SpaceSpec":
        """The specification in ``space``, by default in the setting SPACE."""
        settings = get_settings()
        space = space or settings.space
        embedding = settings.embeddings[space.embedding]
        return cls(
            backend=embedding.backend,
            model=embedding.model,
            dimensions=embedding.dimensions,
            chunk_size=space.chunk_size,
            chunk_overlap=space.chunk_overlap,
            template=space.template,
            splitter=space.splitter,
            index=space.index,
            storage=space.storage,
        )

    @classmethod
    def of(cls, space: EmbeddingSpace) -> "SpaceSpec":
        """The specification of a space in the database."""
        return cls(**{name: getattr(space, name) for name in cls.__dataclass_fields__})

    def differences(self, other: "SpaceSpec") -> list[str]:
        """One line for each part in which ``other`` differs from this one."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name} is {theirs[name]!r}, the settings say {mine[name]!r}"
            for name in mine
            if mine[name] != theirs[name]
        ]


def active_space(using: str) -> EmbeddingSpace | None:
    """The space that search reads, or None before the first migrate."""
    return EmbeddingSpace.objects.using(using).filter(is_active=True).first()


def ensure_space(using: str) -> EmbeddingSpace:
    """The active space; created from the settings if there is none. An existing one is never changed."""
    with transaction.atomic(using=using):
        space = active_space(using)
        return space or _create_active(using, get_settings().space_name)


def create_space(using: str, name: str, wanted: SpaceSettings, *, indexed: bool) -> EmbeddingSpace:
    """Create a space, not active; the existing documents are queued for it. ``indexed``: with its vector index.

    Raises:
        DatabaseError: it is to be distributed, and there is no cluster.
    """
    space_id = gateway.fetch_value(
        using,
        "space_create",
        name=name,
        **asdict(SpaceSpec.from_settings(wanted)),
        embedding=wanted.embedding,
        indexed=indexed,
    )
    if wanted.distributed:
        gateway.fetch(using, "space_distribute", space=space_id, distributed=True, shards=None)
    return EmbeddingSpace.objects.using(using).get(pk=space_id)


def _create_active(using: str, name: str) -> EmbeddingSpace:
    # Its vector index comes when searches need one: see spaces/keeper.py.
    space = create_space(using, name, get_settings().space, indexed=False)
    gateway.fetch(using, "space_activate", space=space.pk)
    space.refresh_from_db(using=using)
    return space


def rebuild_space(using: str) -> EmbeddingSpace:
    """Drop the active space and create the one that the settings ask for. Searches find nothing until it is filled."""
    settings = get_settings()
    with transaction.atomic(using=using):
        space = active_space(using)
        name = space.name if space else settings.space_name
        if space:
            keep_vectors(using, space)
            gateway.fetch(using, "space_drop", space=space.pk)
            indexed = ExternalData.objects.using(using).filter(status__in=("processing", "completed"))
            indexed.update(status="pending", chunk_count=0, token_count=None)
        return _create_active(using, name)


def keep_vectors(using: str, space: EmbeddingSpace) -> int:
    """Keep the vectors of a space that is to be dropped, up to ``WORKER["MAX_KEPT_VECTORS"]``; returns how many."""
    kept: int = gateway.fetch_value(
        using, "space_keep", space=space.pk, max_vectors=get_settings().worker.max_kept_vectors
    )
    return kept


def accept_backend(using: str) -> EmbeddingSpace:
    """Record the settings' backend as another way to the very same vectors, without embedding anew.

    The model that a worker asks next counts as the one that made them.

    Raises:
        SpaceMismatchError: more than the backend differs.
    """
    space = _active(using)
    faults = [fault for fault in _differences(space) if not fault.startswith("backend ")]
    if faults:
        raise _mismatch(space, faults)
    settings = get_settings()
    space.backend = SpaceSpec.from_settings().backend
    space.embedding = settings.space.embedding
    space.fingerprint = ""  # of the backend that makes the next vector
    space.save(using=using, update_fields=["backend", "embedding", "fingerprint"])
    ModelProbe.objects.using(using).filter(pk=space.pk).delete()
    return space


def known_embedding(space: EmbeddingSpace) -> str:
    """The entry of EMBEDDINGS that makes the vectors of ``space``.

    Raises:
        SpaceMismatchError: no entry of EMBEDDINGS is of this backend, model and dimensions.
    """
    embedding = find_embedding(space)
    if embedding is None:
        raise _mismatch(space, _differences(space))
    return embedding


def matching_space(using: str) -> EmbeddingSpace:
    """The active space, for which the settings have an embedder.

    Raises:
        SpaceMismatchError: there is none, or they have not; the message says what differs and which command repairs it.
    """
    space = _active(using)
    known_embedding(space)
    return space


def described_space(using: str) -> EmbeddingSpace:
    """The active space, which is what SPACE or an entry of SPACES describes.

    Raises:
        SpaceMismatchError: there is none, or it is not.
    """
    space, settings = _active(using), get_settings()
    described = [settings.space, *settings.spaces.values()]
    if SpaceSpec.of(space) not in [SpaceSpec.from_settings(one) for one in described]:
        raise _mismatch(space, _differences(space))
    return space


def find_space(using: str, name: str) -> EmbeddingSpace:
    """The space of this name.

    Raises:
        SpaceError: there is none.
    """
    spaces = EmbeddingSpace.objects.using(using)
    space = spaces.filter(name=name).first()
    if space is None:
        known = sorted(spaces.values_list("name", flat=True))
        raise SpaceError(f"There is no embedding space {name!r}: use one of {known!r}, or add it.")
    return space


def _active(using: str) -> EmbeddingSpace:
    space = active_space(using)
    if space is None:
        raise SpaceMismatchError(
            f"Database {using!r} has no active embedding space: run {command_line('migrate', using)!r}."
        )
    return space


def _differences(space: EmbeddingSpace) -> list[str]:
    settings = get_settings()
    return SpaceSpec.from_settings(settings.spaces.get(space.name)).differences(SpaceSpec.of(space))


def _mismatch(space: EmbeddingSpace, faults: list[str]) -> SpaceMismatchError:
    return mismatch_error(space.name, faults, is_active=space.is_active, using=str(space._state.db))
