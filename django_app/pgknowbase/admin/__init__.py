"""The index in Django's admin: read-only pages whose actions call the services that the commands call."""

from pgknowbase.admin.externaldata import ExternalDataAdmin
from pgknowbase.admin.outbox import ExpansionAdmin, OutboxEventAdmin
from pgknowbase.admin.reaction import DeliveryAdmin, ReactionEventAdmin
from pgknowbase.admin.recall import RecallMeasurementAdmin
from pgknowbase.admin.space import EmbeddingSpaceAdmin
from pgknowbase.admin.worker import RenderCostAdmin, WorkerHeartbeatAdmin

__all__ = [
    "DeliveryAdmin",
    "EmbeddingSpaceAdmin",
    "ExpansionAdmin",
    "ExternalDataAdmin",
    "OutboxEventAdmin",
    "ReactionEventAdmin",
    "RecallMeasurementAdmin",
    "RenderCostAdmin",
    "WorkerHeartbeatAdmin",
]
