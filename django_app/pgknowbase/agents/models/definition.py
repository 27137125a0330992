"""Rows that are edited in the admin: agents kept in the database, and budgets."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone


class AgentKind(models.TextChoices):
    CONTENT = "content", "Content"
    DATA = "data", "Data"
    BUSINESS = "business", "Business"
    CUSTOM = "custom", "Custom"


class AgentDefinition(models.Model):
    """An agent that is kept in the database, and who may use it. Its output is text."""

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=10, choices=AgentKind.choices, default=AgentKind.CUSTOM)
    description = models.TextField(blank=True)
    instructions = models.TextField()
    model = models.CharField(max_length=200, blank=True, help_text="Empty for the model of the settings.")
    toolsets = models.JSONField(default=list, blank=True, help_text='Such as ["knowledge", "orm"].')
    permissions = models.JSONField(default=dict, blank=True, help_text='By tool: "allow", "deny" or "ask".')
    timeout = models.FloatField(null=True, blank=True, help_text="Seconds.")
    max_retries = models.PositiveSmallIntegerField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    is_public = models.BooleanField(default=False, help_text="Every signed-in user may use it.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    users = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    groups = models.ManyToManyField(Group, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "pgknowbase_agent_definition"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def may_be_used_by(self, user: Any) -> bool:
        """Whether this user may run it: a superuser, its owner, a named user or group member, or anybody if public."""
        if not self.is_active or not getattr(user, "is_authenticated", False) or not user.is_active:
            return False
        if user.is_superuser or self.is_public or self.owner_id == user.pk:
            return True
        return self.users.filter(pk=user.pk).exists() or self.groups.filter(user__pk=user.pk).exists()

    @classmethod
    def usable_by(cls, user: Any) -> "models.QuerySet[AgentDefinition]":
        """The definitions that this user may run, as ``may_be_used_by`` says, in one query."""
        rows = cls._default_manager.filter(is_active=True)
        if not getattr(user, "is_authenticated", False) or not user.is_active:
            return rows.none()
        if user.is_superuser:
            return rows
        named = models.Q(users=user.pk) | models.Q(groups__user=user.pk)
        return rows.filter(models.Q(is_public=True) | models.Q(owner=user.pk) | named).distinct()


class AgentBudget(models.Model):
    """What a user, an agent, or a user with one agent may spend per day; it replaces the budget of the settings."""

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
            # Two constraints instead of one with nulls_distinct=False: Django's model check of that option connects to
            # the database to learn its version, and checks must run without a database.
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
