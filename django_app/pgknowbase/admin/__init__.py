"""The index in Django's admin: read-only pages whose actions call the services that the commands call."""

from pgknowbase.admin.costs import DailyUsageAdmin
from pgknowbase.admin.externaldata import ExternalDataAdmin
from pgknowbase.admin.outbox import DeliveryAdmin, ExpansionAdmin, OutboxEventAdmin, ReactionEventAdmin
from pgknowbase.admin.search import HybridSearchAdminMixin
from pgknowbase.admin.space import EmbeddingSpaceAdmin, RecallMeasurementAdmin
from pgknowbase.admin.worker import RenderCostAdmin, WorkerHeartbeatAdmin

__all__ = [
    "DailyUsageAdmin",
    "DeliveryAdmin",
    "EmbeddingSpaceAdmin",
    "ExpansionAdmin",
    "ExternalDataAdmin",
    "HybridSearchAdminMixin",
    "OutboxEventAdmin",
    "ReactionEventAdmin",
    "RecallMeasurementAdmin",
    "RenderCostAdmin",
    "WorkerHeartbeatAdmin",
]
