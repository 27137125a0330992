from django.conf import settings
from django.db import models
from django.utils import timezone

from pgknowbase.agents.models.execution import AgentExecution


class ApprovalRequest(models.Model):
    """A tool call that a person has to allow; its run is paused meanwhile."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Pending"
        APPROVED = "APPROVED", "Approved"
        DENIED = "DENIED", "Denied"

    execution = models.ForeignKey(AgentExecution, on_delete=models.CASCADE, related_name="approvals")
    tool_name = models.CharField(max_length=200)
    tool_call_id = models.CharField(max_length=200)
    arguments = models.JSONField(null=True, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    reason = models.TextField(blank=True, help_text="What the person said; the model is told of a refusal.")
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
