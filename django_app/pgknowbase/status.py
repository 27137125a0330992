"""How far the index is, for people and for monitors: each source model, and each worker."""

from datetime import datetime

from django.utils import timezone
from pydantic import BaseModel, ConfigDict

from pgknowbase import gateway
from pgknowbase.models import EmbeddingSpace, WorkerHeartbeat
from pgknowbase.reactions.registry import reactions
from pgknowbase.registry import Source, sources
from pgknowbase.relay.statistics import rendering_costs

COUNTED = 100_000


class ModelIntegrationStatus(BaseModel):
    """How well one source model and the index agree.

    ``pending_sync`` counts what waits: events in the outbox, and objects without their embeddings. ``sync_enabled``
    is False where only the methods and commands sync (``auto_sync``).
    """

    # pydantic keeps names that begin with "model_" for itself.
    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_name: str
    total_instances: int
    synced_instances: int
    pending_sync: int
    last_sync: datetime | None
    sync_enabled: bool


class SourceStatus(ModelIntegrationStatus):
    """The same, the columns of the view ``pgknowbase_status``, and what rendering costs.

    ``estimated`` tells that rows were not counted. ``querying_hook`` is a hook that runs statements for each row; ''
    for none. What was never rendered has no costs.
    """

    source: str
    estimated: bool
    total: int = 0
    completed: int = 0
    pending: int = 0
    processing: int = 0
    failed: int = 0
    dead: int = 0
    chunks: int = 0
    outbox: int = 0
    oldest_pending: datetime | None = None
    lag_seconds: float = 0
    embedded_last_minute: int = 0
    last_processed: datetime | None = None
    ms_per_row: float | None = None
    statements_per_row: float | None = None
    slowest_hook: str = ""
    querying_hook: str = ""


class WorkerStatus(BaseModel):
    """A worker that beats; ``beat_age`` and ``uptime`` in seconds, ``busy`` if it has documents on lease."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    role: str
    uptime: float
    beat_age: float
    busy: bool
    events: int
    documents: int
    failed: int


class ReactionStatus(BaseModel):
    """The columns of the view ``pgknowbase_reaction_status``, and whether this project has the reaction."""

    model_config = ConfigDict(frozen=True)

    reaction: str
    is_declared: bool = True
    changes: int = 0
    pending: int = 0
    running: int = 0
    failed: int = 0
    dead: int = 0
    done: int = 0
    cancelled: int = 0
    oldest_pending: datetime | None = None
    last_finished: datetime | None = None


class SpaceStatus(BaseModel):
    """The embedding space that searches read. ``queue``: documents that wait for it."""

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    dimensions: int
    queue: int


class IndexStatus(BaseModel):
    """How far the index is. ``space`` is None before the first ``migrate``."""

    model_config = ConfigDict(frozen=True)

    space: SpaceStatus | None
    sources: list[SourceStatus]
    reactions: list[ReactionStatus]
    workers: list[WorkerStatus]


def index_status(using: str) -> IndexStatus:
    """All of it at once."""
    space = EmbeddingSpace.objects.using(using).filter(is_active=True).first()
    return IndexStatus(
        space=space
        and SpaceStatus(
            name=space.name,
            model=space.model,
            dimensions=space.dimensions,
            queue=gateway.fetch_value(using, gateway.QUEUE_PENDING, space.vectorizer_id),
        ),
        sources=source_statuses(using),
        reactions=reaction_statuses(using),
        workers=worker_statuses(using),
    )


def source_statuses(using: str) -> list[SourceStatus]:
    """Every source model of this project, in the order of the registry."""
    known = {row["source"]: row for row in gateway.fetch_dicts(using, gateway.STATUS)}
    costs = {row["source"]: row for row in rendering_costs(using)}
    names = ("ms_per_row", "statements_per_row", "slowest_hook", "querying_hook")
    found = []
    for source in sources():
        cost = {name: value for name, value in costs.get(source.label, {}).items() if name in names}
        found.append(_source_status(source, using, {**known.get(source.label.lower(), {}), **cost}))
    return found


def reaction_statuses(using: str) -> list[ReactionStatus]:
    """Every reaction of this project, and those of which something is left; by name."""
    declared = reactions()
    known = {row["reaction"]: row for row in gateway.fetch_dicts(using, gateway.REACTION_STATUS)}
    return [
        ReactionStatus.model_validate({"reaction": name, **known.get(name, {}), "is_declared": name in declared})
        for name in sorted({*declared, *known})
    ]


def worker_statuses(using: str) -> list[WorkerStatus]:
    """Every worker that has not been buried, the oldest first."""
    now = timezone.now()
    return [
        WorkerStatus(
            host=beat.host,
            pid=beat.pid,
            role=beat.role,
            uptime=round((now - beat.started_at).total_seconds(), 1),
            beat_age=round(max(0.0, (now - beat.beat_at).total_seconds()), 1),
            busy=beat.lease is not None,
            events=beat.events,
            documents=beat.documents,
            failed=beat.failed,
        )
        for beat in WorkerHeartbeat.objects.using(using)
    ]


def count_rows(source: Source, using: str) -> tuple[int, bool]:
    """The rows of a source model, and whether that is an estimate: beyond 100,000 they are not counted."""
    counted = source.model._base_manager.using(using).order_by()[: COUNTED + 1].count()
    if counted <= COUNTED:
        return counted, False
    estimate = gateway.fetch_value(using, gateway.ROWS_ESTIMATE, source.model._meta.db_table)
    return max(estimate or 0, counted), True


def _source_status(source: Source, using: str, row: dict[str, object]) -> SourceStatus:
    instances, estimated = count_rows(source, using)
    columns = {"source": source.label.lower(), **row}
    status = SourceStatus.model_validate(
        {
            **columns,
            "model_name": source.label,
            "total_instances": instances,
            "estimated": estimated,
            "synced_instances": columns.get("completed", 0),
            "pending_sync": 0,
            "last_sync": columns.get("last_processed"),
            "sync_enabled": source.config.auto_sync,
        }
    )
    return status.model_copy(update={"pending_sync": status.pending + status.processing + status.outbox})
