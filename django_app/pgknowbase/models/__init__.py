"""Models of the index."""

from pgknowbase.models.chunk import Chunk
from pgknowbase.models.document import Document
from pgknowbase.models.externaldata import ExternalData, ExternalDataStatus, ExternalDataType
from pgknowbase.models.outbox import Expansion, OutboxEvent
from pgknowbase.models.reaction import Delivery, DeliveryState, ReactionEvent
from pgknowbase.models.recall import RecallMeasurement
from pgknowbase.models.render import RenderCost
from pgknowbase.models.space import EmbeddingSpace
from pgknowbase.models.worker import WorkerHeartbeat

__all__ = [
    "Chunk",
    "Delivery",
    "DeliveryState",
    "Document",
    "EmbeddingSpace",
    "Expansion",
    "ExternalData",
    "ExternalDataStatus",
    "ExternalDataType",
    "OutboxEvent",
    "ReactionEvent",
    "RecallMeasurement",
    "RenderCost",
    "WorkerHeartbeat",
]
