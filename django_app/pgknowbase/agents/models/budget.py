from django.conf import settings
from django.db import models


class AgentBudget(models.Model):
    """What one day may bring for a user, an agent, or a user with an agent, instead of what the settings say."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    agent_name = models.CharField(max_length=200, blank=True)
    runs = models.PositiveIntegerField(null=True, blank=True)
    tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars.")

    class Meta:
        db_table = "pgknowbase_agent_budget"
        constraints = [
            # Not nulls_distinct=False, for which each check of the models would ask a server for its version.
            models.UniqueConstraint(fields=["user", "agent_name"], name="pgknowbase_agent_budget_user"),
            models.UniqueConstraint(
                fields=["agent_name"], condition=models.Q(user=None), name="pgknowbase_agent_budget_everyone"
            ),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False) | ~models.Q(agent_name=""),
                name="pgknowbase_agent_budget_named",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id or 'everyone'} {self.agent_name or 'all agents'}"
