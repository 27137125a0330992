"""Embedding spaces: what the settings ask for, what the database has, and the way from one to the other."""

from dataclasses import asdict, dataclass

from django.db import transaction

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.errors import SpaceMismatchError
from pgknowbase.models import EmbeddingSpace, ExternalData


@dataclass(frozen=True, slots=True)
class SpaceSpec:
    """What makes one space differ from another."""

    backend: str
    model: str
    dimensions: int
    chunk_size: int
    chunk_overlap: int
    template: str

    @classmethod
    def from_settings(cls) -> "SpaceSpec":
        """The space that the settings ask for."""
        settings = get_settings()
        embedding = settings.embeddings[settings.space.embedding]
        return cls(
            backend=embedding.backend,
            model=embedding.model,
            dimensions=embedding.dimensions,
            chunk_size=settings.space.chunk_size,
            chunk_overlap=settings.space.chunk_overlap,
            template=settings.space.template,
        )

    @classmethod
    def of(cls, space: EmbeddingSpace) -> "SpaceSpec":
        """What a space in the database is."""
        return cls(**{name: getattr(space, name) for name in cls.__dataclass_fields__})

    def differences(self, other: "SpaceSpec") -> list[str]:
        """One line for each part in which ``other`` is not as this one."""
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
        return space or create_space(using, "default", SpaceSpec.from_settings())


def create_space(using: str, name: str, spec: SpaceSpec) -> EmbeddingSpace:
    """Create and activate a space; the existing documents are queued for it."""
    parts = asdict(spec)
    space_id = gateway.fetch_value(using, gateway.SPACE_CREATE, name, *parts.values())
    gateway.fetch(using, gateway.SPACE_ACTIVATE, space_id)
    return EmbeddingSpace.objects.using(using).get(pk=space_id)


def rebuild_space(using: str) -> EmbeddingSpace:
    """Drop the active space and create the one that the settings ask for. Searches find nothing until it is filled."""
    spec = SpaceSpec.from_settings()
    with transaction.atomic(using=using):
        space = active_space(using)
        name = space.name if space else "default"
        if space:
            gateway.fetch(using, gateway.SPACE_DROP, space.pk)
            indexed = ExternalData.objects.using(using).filter(status__in=("processing", "completed"))
            indexed.update(status="pending", chunk_count=0, token_count=None)
        return create_space(using, name, spec)


def accept_backend(using: str) -> EmbeddingSpace:
    """Record the settings' backend as another way to the very same vectors, without embedding anew.

    Raises:
        SpaceMismatchError: more than the backend differs.
    """
    space = matching_space(using, ignore_backend=True)
    space.backend = SpaceSpec.from_settings().backend
    space.save(using=using, update_fields=["backend"])
    return space


def matching_space(using: str, *, ignore_backend: bool = False) -> EmbeddingSpace:
    """The active space, which is what the settings ask for.

    Raises:
        SpaceMismatchError: there is none, or it differs; the message says in what and which command mends it.
    """
    space = active_space(using)
    if space is None:
        raise SpaceMismatchError(f"Database {using!r} has no active embedding space: run 'manage.py migrate'.")
    faults = SpaceSpec.from_settings().differences(SpaceSpec.of(space))
    if ignore_backend:
        faults = [fault for fault in faults if not fault.startswith("backend ")]
    if faults:
        only_backend = len(faults) == 1 and faults[0].startswith("backend ")
        accept = ", or 'manage.py pgknowbase_space accept' if the vectors of both backends are the same"
        raise SpaceMismatchError(
            f"The active embedding space {space.name!r} differs from the settings: {'; '.join(faults)}. Put the"
            " settings back, or run 'manage.py pgknowbase_space rebuild' to embed everything anew"
            f"{accept if only_backend else ''}."
        )
    return space
