"""The page of metrics: figures of runs by day and by agent, with charts."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format

from pgknowbase.admin.charts import Chart, Series, curves, number, ranking, stacked, whole
from pgknowbase.agents.metrics import active_counts, agent_metrics, daily_metrics, totals
from pgknowbase.core.text import to_storable
from pgknowbase.core.times import midnight

PERIODS = (7, 30, 90, 365)
DEFAULT = 30
STACK = (("completed", "completed"), ("failed", "dead"), ("cancelled", "idle"), ("active", "processing"))


def metrics_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The page of metrics, for users who may see runs."""
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
    days = next((each for each in PERIODS if str(each) == request.GET.get("days")), DEFAULT)
    agent = to_storable(request.GET.get("agent", "")) or None
    since, today = midnight() - timedelta(days=days - 1), midnight().date()
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
        "waiting": active_counts(),
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
        return Series(name, kind, [number(by_day.get(day, {}).get(key)) for day in days])

    times = [series(name, kind, name) for name, kind in (("p50", "completed"), ("p90", "pending"), ("p99", "dead"))]
    failed = [(row["agent"], float(row["failed"])) for row in by_agent if row["failed"]]
    return [
        stacked("Runs per day", names, [series(name, kind, name) for name, kind in STACK], format=whole),
        curves("Time of runs, percentiles per day", names, times, format=lambda value: f"{value:.3g} s"),
        stacked("Tokens per day", names, [series("tokens", "processing", "tokens")], format=whole),
        stacked("Cost per day", names, [series("cost", "pending", "cost")], format=lambda value: f"${value:.3g}"),
        ranking("Failures by agent", failed, "dead", format=whole),
    ]
