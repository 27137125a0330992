from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

from pgknowbase.agents.models.status import Status


class WorkflowExecution(models.Model):
    """One run of a workflow; its steps are executions with ``workflow`` and ``order``, or workflows with ``parent``."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workflow_name = models.CharField(max_length=200)
    # No database constraint: a run may begin before its user's transaction ends, and outlives the user.
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
    agents = models.JSONField(default=list, help_text="Names, in their order.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    initial_prompt = models.TextField()
    final_output = models.JSONField(null=True, blank=True)
    state = models.JSONField(default=dict, blank=True, help_text="Outputs of finished steps by their path.")
    config = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent of the steps that are known.")
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
    task_id = models.CharField(max_length=100, blank=True, help_text="Of the queue, for one in the background.")
    attempts = models.PositiveIntegerField(default=0, help_text="Since a person last let it go on.")

    class Meta:
        db_table = "pgknowbase_workflow_execution"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="pgknowbase_wf_user"),
            models.Index(fields=["heartbeat_at"], condition=models.Q(status="RUNNING"), name="pgknowbase_wf_running"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow_name} {self.status}"
