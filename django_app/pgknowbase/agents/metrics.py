"""Figures of runs: how many, how they ended, tokens, cost and times."""

from datetime import date, datetime
from typing import Any

from django.db.models import Aggregate, Count, F, FloatField, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from pgknowbase.agents.models import AgentExecution, ApprovalRequest, Status, WorkflowExecution
from pgknowbase.agents.runs.database import alias


class Percentile(Aggregate):
    """Postgres' ``percentile_cont``: the value below which ``fraction`` of the values lie, interpolated."""

    function = "percentile_cont"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()

    def __init__(self, expression: Any, fraction: float, **extra: Any) -> None:
        super().__init__(expression, fraction=float(fraction), **extra)


FIGURES: dict[str, Any] = {
    "runs": Count("pk"),
    "completed": Count("pk", filter=Q(status=Status.COMPLETED)),
    "failed": Count("pk", filter=Q(status=Status.FAILED)),
    "cancelled": Count("pk", filter=Q(status=Status.CANCELLED)),
    "active": Count("pk", filter=Q(status__in=[Status.PENDING, Status.RUNNING])),
    "unpriced": Count("pk", filter=Q(cost=None, requests__gt=0)),
    "tokens": Sum("tokens_used", default=0),
    "cost": Sum("cost"),
    "p50": Percentile("execution_time", 0.5),
    "p90": Percentile("execution_time", 0.9),
    "p99": Percentile("execution_time", 0.99),
}


def agent_metrics(*, agent: str | None = None, since: datetime | None = None) -> list[dict[str, Any]]:
    """The figures of ``FIGURES`` per agent, sorted by agent; ``since`` bounds when runs were created.

    ``p50``, ``p90`` and ``p99`` are seconds at work of runs that ended. ``cost`` is in US dollars and sums the runs
    whose price is known; ``unpriced`` counts the others.
    """
    rows = _runs(agent=agent, since=since).values(agent=F("agent_name")).order_by("agent").annotate(**FIGURES)
    return [dict(row) for row in rows]


def totals(*, agent: str | None = None, since: datetime | None = None) -> dict[str, Any]:
    """The same figures for all runs together."""
    return _runs(agent=agent, since=since).aggregate(**FIGURES)


def daily_metrics(*, agent: str | None = None, since: datetime | None = None) -> dict[date, dict[str, Any]]:
    """The same figures by day, in the current time zone; days without a run are left out."""
    rows = _runs(agent=agent, since=since).values(day=TruncDate("created_at")).order_by("day").annotate(**FIGURES)
    found: list[dict[str, Any]] = [dict(row) for row in rows]
    return {row.pop("day"): row for row in found}


def active_counts() -> dict[str, int]:
    """How many runs and workflows are active now, and how many requests wait for a person."""
    using = alias()
    runs, workflows = AgentExecution.objects.using(using), WorkflowExecution.objects.using(using)
    open_requests = ApprovalRequest.objects.using(using).filter(status=ApprovalRequest.Status.PENDING)
    return {
        "running": runs.filter(status=Status.RUNNING).count(),
        "pending": runs.filter(status=Status.PENDING).count(),
        "workflows": workflows.filter(status__in=[Status.PENDING, Status.RUNNING]).count(),
        "approvals": open_requests.count(),
    }


def has_run(agent: str) -> bool:
    """Whether there is a run of this agent, which may have gone from the code since."""
    return _runs(agent=agent).exists()


def _runs(*, agent: str | None = None, since: datetime | None = None) -> "QuerySet[AgentExecution]":
    runs = AgentExecution.objects.using(alias()).order_by()
    if agent is not None:
        runs = runs.filter(agent_name=agent)
    return runs if since is None else runs.filter(created_at__gte=since)
