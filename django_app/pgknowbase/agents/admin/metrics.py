"""The page of metrics: what runs came to, by day and by agent."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format

from pgknowbase.agents.admin.charts import Chart, Series, curves, ranking, stacked
from pgknowbase.agents.metrics import agent_metrics, daily_metrics, totals, waiting

PERIODS = (7, 30, 90, 365)
DEFAULT = 30
STACK = (("completed", "completed"), ("failed", "dead"), ("cancelled", "idle"), ("active", "processing"))


def metrics_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The page, for those who may see runs."""
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
    days = next((each for each in PERIODS if str(each) == request.GET.get("days")), DEFAULT)
    agent = request.GET.get("agent", "").replace("\x00", "") or None
    today = timezone.localdate() if timezone.is_aware(timezone.now()) else timezone.now().date()
    since = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    if timezone.is_aware(since):
        since = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    by_agent = agent_metrics(since=since)
    shown = [today - timedelta(days=back) for back in reversed(range(days))]
    chosen = [row for row in by_agent if agent in (None, row["agent"])]
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Metrics of agents",
        "opts": model_admin.opts,
        "media": model_admin.media,
        "days": days,
        "periods": PERIODS,
        "agent": agent,
        "agents": [row["agent"] for row in by_agent],
        "totals": totals(agent=agent, since=since),
        "waiting": waiting(),
        "by_agent": chosen,
        "charts": charts(shown, daily_metrics(agent=agent, since=since), chosen),
    }
    return TemplateResponse(request, "admin/pgknowbase_agents/metrics.html", context)


def charts(
    days: Sequence[date], by_day: Mapping[date, Mapping[str, Any]], by_agent: Sequence[Mapping[str, Any]]
) -> list[Chart]:
    """All charts of the page."""
    names = [date_format(day, "SHORT_DATE_FORMAT") for day in days]

    def series(name: str, kind: str, key: str) -> Series:
        return Series(name, kind, [_number(by_day.get(day, {}).get(key)) for day in days])

    times = [series(name, kind, name) for name, kind in (("p50", "completed"), ("p90", "pending"), ("p99", "dead"))]
    failed = [(row["agent"], float(row["failed"])) for row in by_agent if row["failed"]]
    return [
        stacked("Runs per day", names, [series(name, kind, name) for name, kind in STACK], written=whole),
        curves("Time of runs, percentiles per day", names, times, written=lambda value: f"{value:.3g} s"),
        stacked("Tokens per day", names, [series("tokens", "processing", "tokens")], written=whole),
        stacked("Cost per day", names, [series("cost", "pending", "cost")], written=lambda value: f"${value:.3g}"),
        ranking("Failures by agent", failed, "dead", written=whole),
    ]


def whole(value: float) -> str:
    """A count; halves are those of an axis."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
