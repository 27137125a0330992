"""The admin of ``ApprovalRequest``: people allow or refuse calls of tools."""

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.admin.readable import readable_json
from pgknowbase.agents.admin import columns
from pgknowbase.agents.admin.base import SHOWN_FAILURES, RunAdmin
from pgknowbase.agents.admin.filters import ExecutionAgentFilter, ToolFilter
from pgknowbase.agents.approvals import decide
from pgknowbase.agents.models import ApprovalRequest

Rows = QuerySet[ApprovalRequest]
LONGEST_REASON = 1_000


class ReasonForm(ActionForm):
    reason = forms.CharField(required=False, max_length=LONGEST_REASON, label="Reason, of a refusal")


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(RunAdmin):
    """Shows what waits for a person. Who may change requests decides them."""

    moment = "requested_at"
    actions = ["approve", "reject"]
    action_form = ReasonForm
    acts_on = dict.fromkeys(("approve", "reject"), lambda row: row.status == ApprovalRequest.Status.PENDING)
    list_display = (
        "tool_name", "status_column", "arguments_short", "agent", "user_column", "requested_at",
        "decided_by_column",
    )  # fmt: skip
    list_filter = ("status", ToolFilter, ExecutionAgentFilter, "requested_at")
    list_select_related = ("execution", "execution__user", "decided_by")
    search_help_text = "Searches the run's prompt and user, and the tool."
    ordering = ("-requested_at",)
    wide = (
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
    def exported(self) -> dict[str, str]:
        """What a file holds of each request."""
        names = (
            "id", "execution_id", "tool_name", "tool_call_id", "arguments", "status", "reason", "requested_at",
            "decided_at",
        )  # fmt: skip
        people = {"user": columns.user_lookup("execution__user"), "decided_by": columns.user_lookup("decided_by")}
        return {"agent_name": "execution__agent_name", **people, **{name: name for name in names}}

    @admin.display(description="status", ordering="status")
    def status_column(self, asked: ApprovalRequest) -> SafeString:
        """The status with its mark."""
        return columns.status_label(asked)

    @admin.display(description="agent", ordering="execution__agent_name")
    def agent(self, asked: ApprovalRequest) -> str:
        """Whose run waits."""
        return asked.execution.agent_name

    @admin.display(description="user", ordering="execution__user_id")
    def user_column(self, asked: ApprovalRequest) -> str:
        """For whom it runs."""
        return columns.user_name(asked.execution)

    @admin.display(description="decided by")
    def decided_by_column(self, asked: ApprovalRequest) -> str:
        """Who has decided."""
        return columns.user_name(asked, "decided_by")

    @admin.display(description="run")
    def run(self, asked: ApprovalRequest) -> SafeString:
        """The run."""
        return columns.link(self.admin_site, asked.execution, str(asked.execution))

    @admin.display(description="prompt")
    def prompt(self, asked: ApprovalRequest) -> SafeString | str:
        """What the agent was asked."""
        return display.preformatted(asked.execution.input_prompt)

    @admin.display(description="arguments")
    def arguments_short(self, asked: ApprovalRequest) -> SafeString:
        """How the arguments begin."""
        return display.text(str(asked.arguments or display.EMPTY), longest=90)

    @admin.display(description="arguments")
    def arguments_column(self, asked: ApprovalRequest) -> SafeString | str:
        """What the tool is to be called with."""
        return readable_json(asked.arguments)

    @admin.action(description="Approve", permissions=["change_runs"])
    def approve(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Allow the calls; a worker of the queue goes on with the runs."""
        return self._decide(request, queryset, approve=True, told="{} approved.")

    @admin.action(description="Reject", permissions=["change_runs"])
    def reject(self, request: HttpRequest, queryset: Rows) -> HttpResponseBase | None:
        """Refuse the calls; the model is told, with the reason."""
        return self._decide(request, queryset, approve=False, told="{} rejected.")

    def _decide(self, request: HttpRequest, queryset: Rows, *, approve: bool, told: str) -> HttpResponseBase | None:
        reason = "" if approve else request.POST.get("reason", "").strip()[:LONGEST_REASON].replace("\x00", "")

        notes: list[str] = []

        def do(asked: ApprovalRequest) -> bool:
            if asked.status != ApprovalRequest.Status.PENDING:
                return False
            note = decide(asked.pk, approve=approve, by=request.user, reason=reason).note
            if note:
                notes.append(note)
            return True

        answer = self.each(request, queryset, do, told)
        for note in notes[:SHOWN_FAILURES]:
            messages.warning(request, note)
        if len(notes) > SHOWN_FAILURES:
            messages.warning(request, f"{len(notes) - SHOWN_FAILURES:,} more are left to your own code.")
        return answer
