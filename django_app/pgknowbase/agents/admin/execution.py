"""The admins of ``AgentExecution`` and ``ToolExecution``: what agents did, and what they called."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.display import readable_json
from pgknowbase.agents import background
from pgknowbase.agents.admin import columns
from pgknowbase.agents.admin.base import RunAdmin
from pgknowbase.agents.admin.columns import ExecutionAgentFilter, NameFilter, ToolFilter
from pgknowbase.agents.admin.metrics import metrics_page
from pgknowbase.agents.models import ACTIVE, AgentExecution, ToolExecution
from pgknowbase.agents.runs.cancelling import cancel_execution

Rows = QuerySet[AgentExecution]
CALLS = 100


@admin.register(AgentExecution)
class AgentExecutionAdmin(RunAdmin):
    """Shows the runs of agents. The actions need the permission to change them."""

    change_list_template = "admin/pgknowbase_agents/agentexecution/change_list.html"
    actions = ["retry", "cancel"]
    action_conditions = {"retry": lambda row: row.is_retryable, "cancel": lambda row: row.status in ACTIVE}
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
    deferred = ("messages", "output_data", "session_data", "error")
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
    def export_columns(self) -> dict[str, str]:
        """The columns of an export."""
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
        """The page of metrics."""
        return metrics_page(self, request)

    # Columns

    @admin.display(description="status", ordering="status")
    def status_column(self, run: AgentExecution) -> SafeString:
        """The status with its mark."""
        return columns.status_label(run)

    @admin.display(description="prompt")
    def prompt(self, run: AgentExecution) -> SafeString:
        """The beginning of the prompt."""
        return display.text(run.input_prompt, longest=90)

    @admin.display(description="prompt")
    def prompt_column(self, run: AgentExecution) -> SafeString | str:
        """The prompt."""
        return display.preformatted(run.input_prompt)

    @admin.display(description="user", ordering="user_id")
    def user_column(self, run: AgentExecution) -> str:
        """The user for whom the agent acted."""
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
        """The output."""
        return readable_json(run.output_data)

    @admin.display(description="error")
    def error_column(self, run: AgentExecution) -> SafeString | str:
        """The error."""
        return display.preformatted(run.error)

    @admin.display(description="messages")
    def messages_column(self, run: AgentExecution) -> SafeString | str:
        """The conversation with the model."""
        return readable_json(run.messages)

    @admin.display(description="workflow")
    def workflow_column(self, run: AgentExecution) -> SafeString | str:
        """The workflow of which it is a step."""
        if run.workflow is None:
            return display.EMPTY
        return columns.link(self.admin_site, run.workflow, str(run.workflow))

    @admin.display(description="calls")
    def calls_column(self, run: AgentExecution) -> SafeString | str:
        """The first tool calls, in order."""
        return self._linked(run.tools.only("execution", "tool_name", "status", "execution_time")[:CALLS])

    @admin.display(description="approvals")
    def approvals_column(self, run: AgentExecution) -> SafeString | str:
        """The requests for approval."""
        return self._linked(run.approvals.only("execution", "tool_name", "status")[:CALLS])

    def _linked(self, rows: Any) -> SafeString | str:
        parts = [(columns.link(self.admin_site, row, row.tool_name), columns.status_label(row)) for row in rows]
        inside = format_html_join("", "<li>{} {}</li>", parts)
        return format_html("<ol>{}</ol>", inside) if inside else display.EMPTY

    # Actions

    @admin.action(description="Retry", permissions=["change_runs"])
    def retry(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Queue a new run with the same agent, prompt and user for each that failed or was cancelled."""
        return self.apply_to_each(
            request, queryset, lambda run: background.retry_execution(run.pk) is not None, "{} requeued."
        )

    @admin.action(description="Cancel", permissions=["change_runs"])
    def cancel(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Cancel active runs."""
        return self.apply_to_each(request, queryset, lambda run: cancel_execution(run.pk), "{} cancelled.")


@admin.register(ToolExecution)
class ToolExecutionAdmin(RunAdmin):
    """Shows tool calls."""

    time_field = "started_at"
    list_display = ("tool_name", "status_column", "agent", "user_column", "time", "started_at")
    list_filter = ("status", ToolFilter, ExecutionAgentFilter, "started_at")
    list_select_related = ("execution", "execution__user")
    search_help_text = "Searches the run's prompt and user, and the tool."
    ordering = ("-pk",)
    deferred = (
        "arguments", "result", "error", "execution__messages", "execution__output_data", "execution__session_data",
        "execution__input_prompt", "execution__error",
    )  # fmt: skip
    fields = (
        "tool_name", "tool_call_id", "status_column", "run", "arguments_column", "result_column", "error_column",
        "time", "started_at", "completed_at",
    )  # fmt: skip
    readonly_fields = ("status_column", "run", "arguments_column", "result_column", "error_column", "time")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("execution__input_prompt", columns.user_lookup("execution__user"), "tool_name")

    @property
    def export_columns(self) -> dict[str, str]:
        """The columns of an export."""
        names = (
            "id", "execution_id", "tool_name", "tool_call_id", "arguments", "result", "status", "error",
            "execution_time", "started_at", "completed_at",
        )  # fmt: skip
        others = {"agent_name": "execution__agent_name", "user": columns.user_lookup("execution__user")}
        return {**others, **{name: name for name in names}}

    @admin.display(description="status", ordering="status")
    def status_column(self, call: ToolExecution) -> SafeString:
        """The status with its mark."""
        return columns.status_label(call)

    @admin.display(description="agent", ordering="execution__agent_name")
    def agent(self, call: ToolExecution) -> str:
        """The agent whose run called it."""
        return call.execution.agent_name

    @admin.display(description="user", ordering="execution__user_id")
    def user_column(self, call: ToolExecution) -> str:
        """The user for whom it ran."""
        return columns.user_name(call.execution)

    @admin.display(description="run")
    def run(self, call: ToolExecution) -> SafeString:
        """The run."""
        return columns.link(self.admin_site, call.execution, str(call.execution))

    @admin.display(description="time", ordering="execution_time")
    def time(self, call: ToolExecution) -> str:
        """Seconds."""
        return columns.seconds(call.execution_time)

    @admin.display(description="arguments")
    def arguments_column(self, call: ToolExecution) -> SafeString | str:
        """The arguments."""
        return readable_json(call.arguments)

    @admin.display(description="result")
    def result_column(self, call: ToolExecution) -> SafeString | str:
        """The output."""
        return readable_json(call.result)

    @admin.display(description="error")
    def error_column(self, call: ToolExecution) -> SafeString | str:
        """The error, or the reason of a refusal."""
        return display.preformatted(call.error)
