from django.db import models

from pgknowbase.agents.models.execution import AgentExecution


class ToolExecution(models.Model):
    """One call of a tool: written before the tool runs, so that a killed process leaves it."""

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
