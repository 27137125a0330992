"""The state of the index, for ``pgknowbase_status``, the admin and monitoring: source models, reactions, workers."""

from django.utils import timezone
from pydantic import BaseModel, ConfigDict

from pgknowbase.core import gateway
from pgknowbase.core.times import Instant
from pgknowbase.costs.cap_status import CapStatus, cap_statuses
from pgknowbase.models import EmbeddingSpace, KeptVector, ModelProbe, ProviderOutage, WorkerHeartbeat
from pgknowbase.operations.former_sources import former_sources
from pgknowbase.operations.unindexed import unindexed_rows
from pgknowbase.reactions.registry import reactions
from pgknowbase.relay.availability import unavailable
from pgknowbase.relay.hook_costs import rendering_costs
from pgknowbase.sources.registry import Source, sources
from pgknowbase.spaces.indexes import index_state

# A count reads the whole table, so larger ones are estimated from the planner's statistics.
MAX_COUNTED_ROWS = 100_000


class ModelIntegrationStatus(BaseModel):
    """How far the index covers one source model.

    ``total_instances`` counts rows, ``synced_instances`` completed objects, and ``pending_sync`` events in the outbox
    plus objects without their embeddings. ``sync_enabled`` is ``auto_sync`` of the model.
    """

    # pydantic keeps names that begin with "model_" for itself.
    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_name: str
    total_instances: int
    synced_instances: int
    pending_sync: int
    last_sync: Instant | None
    sync_enabled: bool


class SourceStatus(ModelIntegrationStatus):
    """The same with the columns of the view ``pgknowbase_status`` and the costs of rendering.

    ``total_instances`` is an estimate if ``estimated``. ``unavailable`` says why this version of the project leaves the
    changes of the model alone; '' if it does not. ``unindexed`` counts the rows that neither the index nor the outbox
    knows: a sync brings them in, unless their hooks keep them out; None where rows are estimated or the model is
    unavailable. ``dead`` counts the failed objects that will not be retried, ``lag_seconds`` is the age of the oldest
    pending change. ``querying_hook`` runs statements for each row; '' if none does. The costs are None if the model was
    never rendered.
    """

    source: str
    unavailable: str = ""
    estimated: bool
    unindexed: int | None = None
    total: int = 0
    completed: int = 0
    pending: int = 0
    processing: int = 0
    failed: int = 0
    dead: int = 0
    chunks: int = 0
    outbox: int = 0
    oldest_pending: Instant | None = None
    lag_seconds: float = 0
    embedded_last_minute: int = 0
    last_processed: Instant | None = None
    ms_per_row: float | None = None
    statements_per_row: float | None = None
    slowest_hook: str = ""
    querying_hook: str = ""


class WorkerStatus(BaseModel):
    """A running worker. ``uptime`` and ``heartbeat_age`` are in seconds; ``busy``: it has leased documents."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    role: str
    uptime: float
    heartbeat_age: float
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
    oldest_pending: Instant | None = None
    last_finished: Instant | None = None


class SpaceStatus(BaseModel):
    """The active embedding space. ``queue`` counts the documents that wait for their embeddings.

    ``vector_index``: 'valid'; 'being built'; 'missing', so that searches compare every chunk until a worker builds it
    after a load; or 'not needed', where there are few chunks.

    Since ``model_changed_at`` another model answers by the name of its model, and nothing is embedded; else it is None.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    dimensions: int
    queue: int
    vector_index: str
    model_changed_at: Instant | None = None


class UnknownSourceStatus(BaseModel):
    """A label in outbox or index that no source model of this version has: its objects, waiting changes, what to do."""

    model_config = ConfigDict(frozen=True)

    source: str
    objects: int
    changes: int
    advice: str


class OutageStatus(BaseModel):
    """A provider that embeds nothing at the moment. ``error`` holds its own words; ``failures`` counts batches."""

    model_config = ConfigDict(frozen=True)

    provider: str
    model: str
    failing_since: Instant
    paused_until: Instant
    failures: int
    error: str


class IndexStatus(BaseModel):
    """The state of the index.

    ``space`` is None before the first ``migrate``. ``kept_vectors`` counts the vectors that were paid for and
    stand in no chunk: of unfinished documents and of dropped spaces.
    """

    model_config = ConfigDict(frozen=True)

    space: SpaceStatus | None
    outages: list[OutageStatus]
    caps: list[CapStatus]
    kept_vectors: int
    sources: list[SourceStatus]
    unknown: list[UnknownSourceStatus]
    reactions: list[ReactionStatus]
    workers: list[WorkerStatus]


def index_status(using: str) -> IndexStatus:
    """The state of the whole index in the database ``using``."""
    space = EmbeddingSpace.objects.using(using).filter(is_active=True).first()
    probe = ModelProbe.objects.using(using).filter(pk=space.pk).first() if space else None
    return IndexStatus(
        space=space
        and SpaceStatus(
            name=space.name,
            model=space.model,
            dimensions=space.dimensions,
            queue=gateway.fetch_value(using, "queue_pending", vectorizer=space.vectorizer_id),
            vector_index=index_state(using, space),
            model_changed_at=probe.changed_at if probe else None,
        ),
        outages=outage_statuses(using),
        caps=cap_statuses(using),
        kept_vectors=KeptVector.objects.using(using).count(),
        sources=source_statuses(using),
        unknown=unknown_sources(using),
        reactions=reaction_statuses(using),
        workers=worker_statuses(using),
    )


def outage_statuses(using: str) -> list[OutageStatus]:
    """The providers of embeddings that fail, the longest one first."""
    rows = ProviderOutage.objects.using(using).values(*OutageStatus.model_fields)
    return [OutageStatus.model_validate(row) for row in rows]


def source_statuses(using: str) -> list[SourceStatus]:
    """Every source model of this project, in the order of the registry."""
    known = {row["source"]: row for row in gateway.fetch_dicts(using, "status")}
    costs = {row["source"]: row for row in rendering_costs(using)}
    left = unavailable({source.label: source for source in sources()}, using)
    names = ("ms_per_row", "statements_per_row", "slowest_hook", "querying_hook")
    found = []
    for source in sources():
        cost = {name: value for name, value in costs.get(source.label, {}).items() if name in names}
        row = {**known.get(source.label.lower(), {}), **cost, "unavailable": left.get(source.label, "")}
        found.append(_source_status(source, using, row))
    return found


def unknown_sources(using: str) -> list[UnknownSourceStatus]:
    """What index and outbox hold of models that are not source models of this version."""
    return [
        UnknownSourceStatus(source=former.label, objects=former.objects, changes=former.events, advice=former.advice)
        for former in former_sources(using)
    ]


def reaction_statuses(using: str) -> list[ReactionStatus]:
    """The reactions of this project, and others that still have deliveries, by name."""
    declared = reactions()
    known = {row["reaction"]: row for row in gateway.fetch_dicts(using, "reaction_status")}
    return [
        ReactionStatus.model_validate({"reaction": name, **known.get(name, {}), "is_declared": name in declared})
        for name in sorted({*declared, *known})
    ]


def worker_statuses(using: str) -> list[WorkerStatus]:
    """Every worker whose row no other worker has removed, the oldest first."""
    now = timezone.now()
    return [
        WorkerStatus(
            host=heartbeat.host,
            pid=heartbeat.pid,
            role=heartbeat.role,
            uptime=round((now - heartbeat.started_at).total_seconds(), 1),
            heartbeat_age=round(max(0.0, (now - heartbeat.beat_at).total_seconds()), 1),
            busy=heartbeat.lease is not None,
            events=heartbeat.events,
            documents=heartbeat.documents,
            failed=heartbeat.failed,
        )
        for heartbeat in WorkerHeartbeat.objects.using(using)
    ]


def count_rows(source: Source, using: str) -> tuple[int, bool]:
    """The number of rows of a source model, and whether it is an estimate: beyond 100,000 rows are not counted."""
    counted = source.model._base_manager.using(using).order_by()[: MAX_COUNTED_ROWS + 1].count()
    if counted <= MAX_COUNTED_ROWS:
        return counted, False
    estimate = gateway.fetch_value(using, "table_rows_estimate", table=source.model._meta.db_table)
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
            "unindexed": None if estimated or row["unavailable"] else unindexed_rows(source, using).count(),
            "synced_instances": columns.get("completed", 0),
            "pending_sync": 0,
            "last_sync": columns.get("last_processed"),
            "sync_enabled": source.config.auto_sync,
        }
    )
    return status.model_copy(update={"pending_sync": status.pending + status.processing + status.outbox})
