"""The admin of ``ToolExecution``: which tools were called with what, and what they gave."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.readable import readable_json
from pgknowbase.agents.admin import columns
from pgknowbase.agents.admin.base import RunAdmin
from pgknowbase.agents.admin.filters import ExecutionAgentFilter, ToolFilter
from pgknowbase.agents.models import ToolExecution


@admin.register(ToolExecution)
class ToolExecutionAdmin(RunAdmin):
    """Shows calls of tools."""

    moment = "started_at"
    list_display = ("tool_name", "status_column", "agent", "user_column", "time", "started_at")
    list_filter = ("status", ToolFilter, ExecutionAgentFilter, "started_at")
    list_select_related = ("execution", "execution__user")
    search_help_text = "Searches the run's prompt and user, and the tool."
    ordering = ("-pk",)
    wide = (
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
    def exported(self) -> dict[str, str]:
        """What a file holds of each call."""
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
        """Whose run called it."""
        return call.execution.agent_name

    @admin.display(description="user", ordering="execution__user_id")
    def user_column(self, call: ToolExecution) -> str:
        """For whom."""
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
        """What it was called with."""
        return readable_json(call.arguments)

    @admin.display(description="result")
    def result_column(self, call: ToolExecution) -> SafeString | str:
        """What it gave."""
        return readable_json(call.result)

    @admin.display(description="error")
    def error_column(self, call: ToolExecution) -> SafeString | str:
        """Why it failed or was refused."""
        return display.preformatted(call.error)
