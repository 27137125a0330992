"""The admin of ``WorkflowExecution``: progress and results of workflows, retry and cancel."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.display import readable_json
from pgknowbase.agents import background
from pgknowbase.agents.admin import columns
from pgknowbase.agents.admin.base import RunAdmin
from pgknowbase.agents.admin.columns import WorkflowAgentFilter, WorkflowFilter
from pgknowbase.agents.models import ACTIVE, Status, WorkflowExecution
from pgknowbase.agents.runs.cancelling import cancel_workflow

Rows = QuerySet[WorkflowExecution]
STEPS = 200


@admin.register(WorkflowExecution)
class WorkflowExecutionAdmin(RunAdmin):
    """Shows workflows. The actions need the permission to change them."""

    actions = ["retry", "cancel"]
    action_conditions = {
        "retry": lambda row: row.status in (Status.FAILED, Status.PENDING),
        "cancel": lambda row: row.status in ACTIVE,
    }
    list_display = (
        "workflow_name", "status_column", "progress_column", "prompt", "user_column", "cost_column", "created_at",
    )  # fmt: skip
    list_filter = ("status", WorkflowFilter, WorkflowAgentFilter, "pattern", "created_at")
    list_select_related = ("user",)
    search_help_text = "Searches prompt and user."
    ordering = ("-created_at",)
    deferred = ("state", "final_output", "config", "error")
    fieldsets = (
        (None, {"fields": ("workflow_name", "pattern", "user_column", "status_column", "agents", "prompt_column")}),
        ("Outcome", {"fields": ("output_column", "error_column", "progress_column", "steps_column")}),
        ("Use", {"fields": ("total_tokens", "cost_column", "time")}),
        (
            "State",
            {"fields": ("id", "background", "task_id", "attempts", "parent_column", "state_column", "config_column")},
        ),
        ("Times", {"fields": ("created_at", "started_at", "completed_at", "heartbeat_at")}),
    )
    readonly_fields = (
        "user_column", "status_column", "prompt_column", "output_column", "error_column", "progress_column",
        "steps_column", "cost_column", "time", "parent_column", "state_column", "config_column",
    )  # fmt: skip

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("initial_prompt", columns.user_lookup())

    @property
    def export_columns(self) -> dict[str, str]:
        """The columns of an export."""
        names = (
            "id", "workflow_name", "pattern", "agents", "status", "initial_prompt", "final_output", "error", "progress",
            "completed_steps", "total_steps", "total_tokens", "total_cost", "execution_time", "created_at",
            "started_at", "completed_at",
        )  # fmt: skip
        return {"user": columns.user_lookup(), **{name: name for name in names}}

    @admin.display(description="status", ordering="status")
    def status_column(self, workflow: WorkflowExecution) -> SafeString:
        """The status with its mark."""
        return columns.status_label(workflow)

    @admin.display(description="progress", ordering="progress")
    def progress_column(self, workflow: WorkflowExecution) -> str:
        """Percent, and steps."""
        return f"{workflow.progress} % ({workflow.completed_steps} of {workflow.total_steps})"

    @admin.display(description="prompt")
    def prompt(self, workflow: WorkflowExecution) -> SafeString:
        """The beginning of the prompt."""
        return display.text(workflow.initial_prompt, longest=90)

    @admin.display(description="prompt")
    def prompt_column(self, workflow: WorkflowExecution) -> SafeString | str:
        """The prompt."""
        return display.preformatted(workflow.initial_prompt)

    @admin.display(description="user", ordering="user_id")
    def user_column(self, workflow: WorkflowExecution) -> str:
        """The user for whom it ran."""
        return columns.user_name(workflow)

    @admin.display(description="cost", ordering="total_cost")
    def cost_column(self, workflow: WorkflowExecution) -> str:
        """In dollars, where all prices are known."""
        return columns.dollars(workflow.total_cost, known=not workflow.total_tokens)

    @admin.display(description="time", ordering="execution_time")
    def time(self, workflow: WorkflowExecution) -> str:
        """Seconds at work."""
        return columns.seconds(workflow.execution_time)

    @admin.display(description="output")
    def output_column(self, workflow: WorkflowExecution) -> SafeString | str:
        """The output."""
        return readable_json(workflow.final_output)

    @admin.display(description="error")
    def error_column(self, workflow: WorkflowExecution) -> SafeString | str:
        """The error."""
        return display.preformatted(workflow.error)

    @admin.display(description="parent")
    def parent_column(self, workflow: WorkflowExecution) -> SafeString | str:
        """The workflow of which it is a part."""
        parent = workflow.parent
        return display.EMPTY if parent is None else columns.link(self.admin_site, parent, str(parent))

    @admin.display(description="state")
    def state_column(self, workflow: WorkflowExecution) -> SafeString | str:
        """The outputs of finished steps."""
        return readable_json(workflow.state)

    @admin.display(description="config")
    def config_column(self, workflow: WorkflowExecution) -> SafeString | str:
        """The options, without the data of the session: it belongs to the user."""
        return readable_json({name: value for name, value in workflow.config.items() if name != "session_data"})

    @admin.display(description="steps")
    def steps_column(self, workflow: WorkflowExecution) -> SafeString | str:
        """The runs of its steps, in order."""
        runs = workflow.executions.order_by("order", "created_at").only("workflow", "agent_name", "status", "step")[
            :STEPS
        ]
        parts = [(columns.link(self.admin_site, run, run.agent_name), columns.status_label(run)) for run in runs]
        inside = format_html_join("", "<li>{} {}</li>", parts)
        return format_html("<ol>{}</ol>", inside) if inside else display.EMPTY

    @admin.action(description="Retry", permissions=["change_runs"])
    def retry(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Resume, in the background, what failed or is paused; finished steps are not repeated."""
        return self.apply_to_each(
            request, queryset, lambda workflow: background.retry_workflow(workflow.pk), "{} requeued."
        )

    @admin.action(description="Cancel", permissions=["change_runs"])
    def cancel(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Cancel active workflows, with their runs."""
        return self.apply_to_each(request, queryset, lambda workflow: cancel_workflow(workflow.pk), "{} cancelled.")
