"""The admin of ``ApprovalRequest``: approve or refuse tool calls."""

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.display import readable_json
from pgknowbase.agents.admin import columns
from pgknowbase.agents.admin.base import SHOWN_FAILURES, RunAdmin
from pgknowbase.agents.admin.columns import ExecutionAgentFilter, ToolFilter
from pgknowbase.agents.approvals import decide
from pgknowbase.agents.models import ApprovalRequest
from pgknowbase.core.text import to_storable

Rows = QuerySet[ApprovalRequest]
LONGEST_REASON = 1_000


class ReasonForm(ActionForm):
    reason = forms.CharField(required=False, max_length=LONGEST_REASON, label="Reason, of a refusal")


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(RunAdmin):
    """Shows what waits for a person. Users with the permission to change requests decide."""

    time_field = "requested_at"
    actions = ["approve", "reject"]
    action_form = ReasonForm
    action_conditions = dict.fromkeys(("approve", "reject"), lambda row: row.status == ApprovalRequest.Status.PENDING)
    list_display = (
        "tool_name", "status_column", "arguments_short", "agent", "user_column", "requested_at",
        "decided_by_column",
    )  # fmt: skip
    list_filter = ("status", ToolFilter, ExecutionAgentFilter, "requested_at")
    list_select_related = ("execution", "execution__user", "decided_by")
    search_help_text = "Searches the run's prompt and user, and the tool."
    ordering = ("-requested_at",)
    deferred = (
        "reason", "execution__messages", "execution__output_data", "execution__session_data",
        "execution__input_prompt", "execution__error",
    )  # fmt: skip
    fields = (
        "tool_name", "tool_call_id", "status_column", "arguments_column", "run", "agent", "user_column", "prompt",
        "requested_at", "decided_at", "decided_by_column", "reason",
    )  # fmt: skip
    readonly_fields = (
        "status_column", "arguments_column", "run", "agent", "user_column", "prompt", "decided_by_column",
    )  # fmt: skip

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("execution__input_prompt", columns.user_lookup("execution__user"), "tool_name")

    @property
    def export_columns(self) -> dict[str, str]:
        """The columns of an export."""
        names = (
            "id", "execution_id", "tool_name", "tool_call_id", "arguments", "status", "reason", "requested_at",
            "decided_at",
        )  # fmt: skip
        users = {"user": columns.user_lookup("execution__user"), "decided_by": columns.user_lookup("decided_by")}
        return {"agent_name": "execution__agent_name", **users, **{name: name for name in names}}

    @admin.display(description="status", ordering="status")
    def status_column(self, approval: ApprovalRequest) -> SafeString:
        """The status with its mark."""
        return columns.status_label(approval)

    @admin.display(description="agent", ordering="execution__agent_name")
    def agent(self, approval: ApprovalRequest) -> str:
        """The agent whose run waits."""
        return approval.execution.agent_name

    @admin.display(description="user", ordering="execution__user_id")
    def user_column(self, approval: ApprovalRequest) -> str:
        """The user for whom it runs."""
        return columns.user_name(approval.execution)

    @admin.display(description="decided by")
    def decided_by_column(self, approval: ApprovalRequest) -> str:
        """The user who has decided."""
        return columns.user_name(approval, "decided_by")

    @admin.display(description="run")
    def run(self, approval: ApprovalRequest) -> SafeString:
        """The run."""
        return columns.link(self.admin_site, approval.execution, str(approval.execution))

    @admin.display(description="prompt")
    def prompt(self, approval: ApprovalRequest) -> SafeString | str:
        """The prompt of the run."""
        return display.preformatted(approval.execution.input_prompt)

    @admin.display(description="arguments")
    def arguments_short(self, approval: ApprovalRequest) -> SafeString:
        """The beginning of the arguments."""
        return display.text(str(approval.arguments or display.EMPTY), longest=90)

    @admin.display(description="arguments")
    def arguments_column(self, approval: ApprovalRequest) -> SafeString | str:
        """The arguments of the call."""
        return readable_json(approval.arguments)

    @admin.action(description="Approve", permissions=["change_runs"])
    def approve(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Approve the calls; a worker of the queue resumes the runs."""
        return self._decide(request, queryset, approve=True, message="{} approved.")

    @admin.action(description="Reject", permissions=["change_runs"])
    def reject(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Refuse the calls; the model gets the reason."""
        return self._decide(request, queryset, approve=False, message="{} rejected.")

    def _decide(self, request: HttpRequest, queryset: Rows, *, approve: bool, message: str) -> HttpResponseBase | None:
        reason = "" if approve else to_storable(request.POST.get("reason", "").strip()[:LONGEST_REASON])

        notes: list[str] = []

        def do(approval: ApprovalRequest) -> bool:
            if approval.status != ApprovalRequest.Status.PENDING:
                return False
            note = decide(approval.pk, approve=approve, by=request.user, reason=reason).note
            if note:
                notes.append(note)
            return True

        answer = self.apply_to_each(request, queryset, do, message)
        for note in notes[:SHOWN_FAILURES]:
            messages.warning(request, note)
        if len(notes) > SHOWN_FAILURES:
            messages.warning(request, f"{len(notes) - SHOWN_FAILURES:,} more are left to your own code.")
        return answer
