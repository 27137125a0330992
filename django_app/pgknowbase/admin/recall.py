"""The admin of ``RecallMeasurement``: what ``manage.py pgknowbase_recall`` has found so far."""

from django.contrib import admin

from pgknowbase.admin.readonly import ReadOnlyAdmin
from pgknowbase.models import RecallMeasurement


@admin.register(RecallMeasurement)
class RecallMeasurementAdmin(ReadOnlyAdmin):
    """Shows the measurements, the latest first."""

    list_display = ("measured_at", "space", "model", "filter", "share", "ef_search", "percentage", "median", "needed")
    list_filter = ("space", "model")
    fields = (
        "measured_at", "space", "model", "filter", "selectivity", "passing", "queries", "max_hits", "ef_search",
        "recall", "milliseconds", "exact_milliseconds", "target", "needed",
    )  # fmt: skip

    @admin.display(description="passes", ordering="selectivity")
    def share(self, measured: RecallMeasurement) -> str:
        """The share of the objects that pass the filter."""
        return f"{100 * measured.selectivity:.3g} %"

    @admin.display(description="recall", ordering="recall")
    def percentage(self, measured: RecallMeasurement) -> str:
        """The mean over the queries."""
        return f"{100 * measured.recall:.2f} %"

    @admin.display(description="ms", ordering="milliseconds")
    def median(self, measured: RecallMeasurement) -> str:
        """The median of a search, beside that of an exact one."""
        return f"{measured.milliseconds:.1f} (exact {measured.exact_milliseconds:.1f})"
