from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

from pgknowbase.agents.models.status import Status
from pgknowbase.agents.models.workflow import WorkflowExecution


class AgentExecution(models.Model):
    """One run of one agent, from the moment it starts."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    agent_name = models.CharField(max_length=200)
    # No database constraint: a run may begin before its user's transaction ends, and outlives the user.
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
    messages = models.JSONField(default=list, blank=True, help_text="As pydantic-ai writes them.")
    error = models.TextField(blank=True)
    execution_time = models.FloatField(null=True, blank=True, help_text="Seconds at work.")
    requests = models.PositiveIntegerField(default=0, help_text="Answers of the model.")
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    tokens_used = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars; null where no price is known."
    )
    workflow = models.ForeignKey(
        WorkflowExecution, null=True, blank=True, on_delete=models.CASCADE, related_name="executions"
    )
    order = models.PositiveIntegerField(null=True, blank=True, help_text="Place among the steps of the workflow.")
    step = models.CharField(max_length=200, blank=True, help_text="Path of the step in the workflow.")
    background = models.BooleanField(default=False)
    session_data = models.JSONField(default=dict, blank=True, help_text="Of the deps of a run in the background.")
    task_id = models.CharField(max_length=100, blank=True, help_text="Of the queue, for a run in the background.")
    idempotency_key = models.CharField(
        max_length=200, blank=True, default="", help_text="Of the change of a row for which the agent runs."
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
