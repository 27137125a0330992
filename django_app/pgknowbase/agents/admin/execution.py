"""The admin of ``AgentExecution``: what agents were asked, what they did, and another try."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.readable import readable_json
from pgknowbase.agents.admin import columns
from pgknowbase.agents.admin.base import RunAdmin
from pgknowbase.agents.admin.filters import NameFilter
from pgknowbase.agents.admin.metrics import metrics_page
from pgknowbase.agents.background import retry_execution
from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.recording.cancel import cancel_execution
from pgknowbase.agents.retryable import is_retryable

Rows = QuerySet[AgentExecution]
CALLS = 100


@admin.register(AgentExecution)
class AgentExecutionAdmin(RunAdmin):
    """Shows the runs of agents. Actions need the permission to change them."""

    change_list_template = "admin/pgknowbase_agents/agentexecution/change_list.html"
    actions = ["retry", "cancel"]
    acts_on = {"retry": is_retryable, "cancel": lambda row: row.status in columns.ACTIVE}
    list_display = (
        "agent_name", "status_column", "prompt", "user_column", "tokens", "cost_column",
        "created_at",
    )  # fmt: skip
    list_display_links = ("agent_name",)
    list_filter = ("status", NameFilter, "created_at", "background")
    list_select_related = ("user",)
    search_help_text = "Searches prompt and user."
    date_hierarchy = None
    ordering = ("-created_at",)
    wide = ("messages", "output_data", "session_data", "error")
    fieldsets = (
        (None, {"fields": ("agent_name", "model", "user_column", "status_column", "prompt_column", "output_column")}),
        ("Error", {"fields": ("error_column", "attempts", "cancel_requested")}),
        ("Use", {"fields": ("requests", "input_tokens", "output_tokens", "tokens_used", "cost_column", "time")}),
        ("Origin", {"fields": ("id", "background", "task_id", "workflow_column", "order", "step", "idempotency_key")}),
        ("Times", {"fields": ("created_at", "started_at", "completed_at", "heartbeat_at")}),
        ("Calls of tools", {"fields": ("calls_column", "approvals_column")}),
        ("Messages", {"fields": ("messages_column",)}),
    )
    readonly_fields = (
        "user_column", "status_column", "prompt_column", "output_column", "error_column", "cost_column", "time",
        "workflow_column", "calls_column", "approvals_column", "messages_column",
    )  # fmt: skip

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("input_prompt", columns.user_lookup())

    @property
    def exported(self) -> dict[str, str]:
        """What a file holds of each run."""
        names = (
            "id", "agent_name", "status", "model", "input_prompt", "output_data", "error", "execution_time", "requests",
            "input_tokens", "output_tokens", "tokens_used", "cost", "workflow_id", "order", "step", "background",
            "attempts", "created_at", "started_at", "completed_at",
        )  # fmt: skip
        return {"user": columns.user_lookup(), **{name: name for name in names}}

    def get_urls(self) -> list[URLPattern]:
        page = path("metrics/", self.admin_site.admin_view(self.metrics), name="pgknowbase_agents_metrics")
        return [page, *super().get_urls()]

    def metrics(self, request: HttpRequest) -> HttpResponse:
        """What all runs came to, with charts."""
        return metrics_page(self, request)

    # Columns

    @admin.display(description="status", ordering="status")
    def status_column(self, run: AgentExecution) -> SafeString:
        """The status with its mark."""
        return columns.status_label(run)

    @admin.display(description="prompt")
    def prompt(self, run: AgentExecution) -> SafeString:
        """How the prompt begins."""
        return display.text(run.input_prompt, longest=90)

    @admin.display(description="prompt")
    def prompt_column(self, run: AgentExecution) -> SafeString | str:
        """The prompt."""
        return display.preformatted(run.input_prompt)

    @admin.display(description="user", ordering="user_id")
    def user_column(self, run: AgentExecution) -> str:
        """For whom the agent acted."""
        return columns.user_name(run)

    @admin.display(description="tokens", ordering="tokens_used")
    def tokens(self, run: AgentExecution) -> str:
        """Tokens in and out."""
        return f"{run.tokens_used:,}"

    @admin.display(description="cost", ordering="cost")
    def cost_column(self, run: AgentExecution) -> str:
        """In dollars, where the price is known."""
        return columns.dollars(run.cost, known=not run.requests)

    @admin.display(description="time", ordering="execution_time")
    def time(self, run: AgentExecution) -> str:
        """Seconds at work."""
        return columns.seconds(run.execution_time)

    @admin.display(description="output")
    def output_column(self, run: AgentExecution) -> SafeString | str:
        """What it gave."""
        return readable_json(run.output_data)

    @admin.display(description="error")
    def error_column(self, run: AgentExecution) -> SafeString | str:
        """Why it failed."""
        return display.preformatted(run.error)

    @admin.display(description="messages")
    def messages_column(self, run: AgentExecution) -> SafeString | str:
        """What was said between agent and model."""
        return readable_json(run.messages)

    @admin.display(description="workflow")
    def workflow_column(self, run: AgentExecution) -> SafeString | str:
        """The workflow that it is a step of."""
        if run.workflow is None:
            return display.EMPTY
        return columns.link(self.admin_site, run.workflow, str(run.workflow))

    @admin.display(description="calls")
    def calls_column(self, run: AgentExecution) -> SafeString | str:
        """The first calls of tools, in their order."""
        return self._linked(run.tools.only("execution", "tool_name", "status", "execution_time")[:CALLS])

    @admin.display(description="approvals")
    def approvals_column(self, run: AgentExecution) -> SafeString | str:
        """What a person had to decide."""
        return self._linked(run.approvals.only("execution", "tool_name", "status")[:CALLS])

    def _linked(self, rows: Any) -> SafeString | str:
        parts = [(columns.link(self.admin_site, row, row.tool_name), columns.status_label(row)) for row in rows]
        inside = format_html_join("", "<li>{} {}</li>", parts)
        return format_html("<ol>{}</ol>", inside) if inside else display.EMPTY

    # Actions

    @admin.action(description="Retry", permissions=["change_runs"])
    def retry(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Run again, in the background, what failed or was cancelled: a new run with the same prompt and user."""
        return self.each(request, queryset, lambda run: retry_execution(run.pk) is not None, "{} queued again.")

    @admin.action(description="Cancel", permissions=["change_runs"])
    def cancel(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """End runs that wait or are at work."""
        return self.each(request, queryset, lambda run: cancel_execution(run.pk), "{} cancelled.")
