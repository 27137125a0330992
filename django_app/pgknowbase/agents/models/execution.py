"""Rows of what ran: workflows, runs of agents, tool calls, and requests for approval."""

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

from pgknowbase.agents.receivers import ObservedModel


class Status(models.TextChoices):
    """Status of a run or a workflow. ``PENDING`` waits for a worker, or for a person's approval."""

    PENDING = "PENDING", "Pending"
    RUNNING = "RUNNING", "Running"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"
    CANCELLED = "CANCELLED", "Cancelled"


ACTIVE = (Status.PENDING, Status.RUNNING)
FINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class WorkflowExecution(ObservedModel):
    """One run of a workflow. Its steps are the executions that name it, ordered by ``order``."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workflow_name = models.CharField(max_length=200)
    # No database constraint: the row is committed on a connection of its own, perhaps before the transaction that
    # creates the user; and it outlives the user.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
    )
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    pattern = models.CharField(max_length=20)
    agents = models.JSONField(default=list, help_text="Names of the agents, in order.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    initial_prompt = models.TextField()
    final_output = models.JSONField(null=True, blank=True)
    state = models.JSONField(default=dict, blank=True, help_text="Outputs of finished steps by their path.")
    config = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent of the known steps.")
    completed_steps = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    total_tokens = models.PositiveIntegerField(default=0)
    total_cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    execution_time = models.FloatField(null=True, blank=True, help_text="Seconds.")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    background = models.BooleanField(default=False)
    task_id = models.CharField(max_length=100, blank=True, help_text="Id of its task in the queue.")
    attempts = models.PositiveIntegerField(default=0, help_text="Attempts since a person last retried it.")
    idempotency_key = models.CharField(
        max_length=200,
        blank=True,
        default="",
        help_text="Key of the request that started it; at most one workflow has it.",
    )

    class Meta:
        db_table = "pgknowbase_workflow_execution"
        ordering = ["-created_at"]
        constraints = [
            # Whatever the status: a workflow that failed is resumed, so that its finished steps are not paid for twice.
            models.UniqueConstraint(
                fields=["idempotency_key"], condition=~models.Q(idempotency_key=""), name="pgknowbase_wf_once"
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="pgknowbase_wf_user"),
            models.Index(fields=["heartbeat_at"], condition=models.Q(status="RUNNING"), name="pgknowbase_wf_running"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow_name} {self.status}"


class AgentExecution(ObservedModel):
    """One run of one agent. The row is committed before the provider is asked, so that no paid run is unrecorded."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    agent_name = models.CharField(max_length=200)
    # No database constraint: the row is committed on a connection of its own, perhaps before the transaction that
    # creates the user; and it outlives the user.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    model = models.CharField(max_length=200, blank=True)
    input_prompt = models.TextField()
    output_data = models.JSONField(null=True, blank=True)
    messages = models.JSONField(default=list, blank=True, help_text="In the format of pydantic-ai.")
    error = models.TextField(blank=True)
    execution_time = models.FloatField(null=True, blank=True, help_text="Seconds at work.")
    requests = models.PositiveIntegerField(default=0, help_text="Number of answers of the model.")
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    tokens_used = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars; null where no price is known."
    )
    workflow = models.ForeignKey(
        WorkflowExecution, null=True, blank=True, on_delete=models.CASCADE, related_name="executions"
    )
    order = models.PositiveIntegerField(null=True, blank=True, help_text="Position among the steps of the workflow.")
    step = models.CharField(max_length=200, blank=True, help_text="Path of the step in the workflow.")
    background = models.BooleanField(default=False)
    session_data = models.JSONField(
        default=dict, blank=True, help_text="Session data of the deps, for a run in the background."
    )
    task_id = models.CharField(max_length=100, blank=True, help_text="Id of its task in the queue.")
    idempotency_key = models.CharField(
        max_length=200,
        blank=True,
        default="",
        help_text="Key of the request or the change for which it runs.",
    )
    attempts = models.PositiveIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "pgknowbase_agent_execution"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent_name", "idempotency_key"],
                condition=models.Q(status__in=["PENDING", "RUNNING", "COMPLETED"]) & ~models.Q(idempotency_key=""),
                name="pgknowbase_exec_once",
                violation_error_message="A run of this agent with that key is under way, or has completed.",
            ),
        ]
        indexes = [
            models.Index(fields=["agent_name", "-created_at"], name="pgknowbase_exec_agent"),
            models.Index(fields=["user", "-created_at"], name="pgknowbase_exec_user"),
            models.Index(fields=["-created_at"], name="pgknowbase_exec_created"),
            models.Index(fields=["started_at"], name="pgknowbase_exec_started"),
            models.Index(
                fields=["heartbeat_at"],
                condition=models.Q(status__in=["PENDING", "RUNNING"]),
                name="pgknowbase_exec_active",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agent_name} {self.status}"

    @property
    def is_retryable(self) -> bool:
        """Whether it ended without an output. A step of a workflow is retried with its workflow."""
        return self.status in (Status.FAILED, Status.CANCELLED) and self.workflow_id is None


class ToolExecution(ObservedModel):
    """One call of a tool. The row is committed before the tool runs, so that a killed process leaves it behind."""

    class Status(models.TextChoices):
        RUNNING = "RUNNING", "Running"
        COMPLETED = "COMPLETED", "Completed"
        FAILED = "FAILED", "Failed"
        REFUSED = "REFUSED", "Refused"
        WAITING = "WAITING", "Waiting for approval"

    execution = models.ForeignKey(AgentExecution, on_delete=models.CASCADE, related_name="tools")
    tool_name = models.CharField(max_length=200)
    tool_call_id = models.CharField(max_length=200)
    arguments = models.JSONField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)
    execution_time = models.FloatField(null=True, blank=True, help_text="Seconds.")

    class Meta:
        db_table = "pgknowbase_tool_execution"
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.tool_name} {self.status}"


class ApprovalRequest(ObservedModel):
    """A tool call that a person has to approve; its run is paused until then."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Pending"
        APPROVED = "APPROVED", "Approved"
        DENIED = "DENIED", "Denied"

    execution = models.ForeignKey(AgentExecution, on_delete=models.CASCADE, related_name="approvals")
    tool_name = models.CharField(max_length=200)
    tool_call_id = models.CharField(max_length=200)
    arguments = models.JSONField(null=True, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    reason = models.TextField(blank=True, help_text="Reason of a refusal; the model gets it.")
    requested_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
    )

    class Meta:
        db_table = "pgknowbase_approval_request"
        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "tool_call_id"], name="pgknowbase_approval_call"),
        ]
        indexes = [
            models.Index(
                fields=["requested_at"], condition=models.Q(status="PENDING"), name="pgknowbase_approval_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool_name} {self.status}"
