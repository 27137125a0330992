"""The page of costs: what providers were paid, by day, kind, model, source model and tenant, with charts."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format

from pgknowbase.admin.base import ReadOnlyAdmin
from pgknowbase.admin.charts import Chart, Series, number, ranking, stacked, whole
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.times import midnight
from pgknowbase.costs.calls import UsageKind
from pgknowbase.costs.report import DIMENSIONS, Dimension, cost_report
from pgknowbase.models import DailyUsage

PERIODS = (7, 30, 90, 365)
DEFAULT = 30
COLOURS = {
    UsageKind.EMBEDDING: "completed",
    UsageKind.QUERY: "processing",
    UsageKind.RERANK: "idle",
    UsageKind.CHAT: "pending",
    UsageKind.AGENT: "dead",
}


@admin.register(DailyUsage)
class DailyUsageAdmin(ReadOnlyAdmin):
    """One page instead of a list: days of many tenants and models say little one by one."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The page of costs, for users who may see usage."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        using = get_settings().database
        days = next((each for each in PERIODS if str(each) == request.GET.get("days")), DEFAULT)
        by: Dimension = next((each for each in DIMENSIONS if each == request.GET.get("by")), "model")
        today = midnight().date()
        since = today - timedelta(days=days - 1)
        report = cost_report(using, since=since, by=by)
        context = {
            **self.admin_site.each_context(request),
            "title": "Costs",
            "opts": self.opts,
            "media": self.media,
            "days": days,
            "periods": PERIODS,
            "by": by,
            "dimensions": DIMENSIONS,
            "report": report,
            "charts": [
                *charts(using, [since + timedelta(days=n) for n in range(days)]),
                ranking(
                    f"Cost by {by}",
                    [(row.name or "-", float(row.cost)) for row in report.rows if row.cost],
                    "pending",
                    format=_dollars,
                ),
            ],
        }
        return TemplateResponse(request, "admin/pgknowbase/costs.html", context)


def charts(using: str, days: Sequence[date]) -> list[Chart]:
    """Cost and tokens of each day, by kind."""
    names = [date_format(day, "SHORT_DATE_FORMAT") for day in days]
    rows = gateway.fetch_dicts(using, "costs_by_day_and_kind", since=days[0])
    found = {(row["day"], row["kind"]): row for row in rows}

    def series(figure: str) -> list[Series]:
        return [
            Series(kind.label, colour, [number(found.get((day, kind), {}).get(figure)) for day in days])
            for kind, colour in COLOURS.items()
        ]

    return [
        stacked("Cost per day", names, series("cost"), format=_dollars),
        stacked("Tokens per day", names, series("tokens"), format=whole),
    ]


def _dollars(value: float) -> str:
    return f"${value:.3g}"
