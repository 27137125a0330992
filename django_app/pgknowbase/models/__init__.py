"""The models of the index. The search, the relay and the worker write most of their tables by SQL; see docs/sql.md."""

from pgknowbase.models.document import Chunk, Document
from pgknowbase.models.externaldata import ExternalData, ExternalDataStatus, ExternalDataType
from pgknowbase.models.measurements import RecallMeasurement, RenderCost
from pgknowbase.models.outbox import ChangeTrace, Expansion, MigratedSource, OutboxEvent
from pgknowbase.models.provider import KeptVector, ModelProbe, ProviderOutage, ProviderRate, TextsInFlight
from pgknowbase.models.reaction import Delivery, DeliveryState, ReactionEvent
from pgknowbase.models.space import EmbeddingSpace
from pgknowbase.models.usage import DailyUsage, UsageEntry
from pgknowbase.models.worker import WorkerHeartbeat

__all__ = [
    "ChangeTrace",
    "Chunk",
    "DailyUsage",
    "Delivery",
    "DeliveryState",
    "Document",
    "EmbeddingSpace",
    "Expansion",
    "ExternalData",
    "ExternalDataStatus",
    "ExternalDataType",
    "KeptVector",
    "MigratedSource",
    "ModelProbe",
    "OutboxEvent",
    "ProviderOutage",
    "ProviderRate",
    "ReactionEvent",
    "RecallMeasurement",
    "RenderCost",
    "TextsInFlight",
    "UsageEntry",
    "WorkerHeartbeat",
]
