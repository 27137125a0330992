from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone


@dataclass(frozen=True)
class Usage:
    """Tokens and cost of runs. ``cost`` is in US dollars, None where any price is unknown."""

    tokens: int
    cost: Decimal | None

    @classmethod
    def of(cls, runs: Iterable[Any]) -> Self:
        """The sum of ``runs``; without any run the cost is 0, not unknown."""
        known = list(runs)
        costs = [run.cost for run in known]
        cost = None if None in costs else sum(costs, Decimal(0))
        return cls(sum(run.tokens_used for run in known), cost)


class ChatSession(models.Model):
    """One conversation of one user."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now, help_text="Time of the latest message.")

    class Meta:
        db_table = "pgknowbase_chat_session"
        ordering = ["-updated_at", "pk"]
        indexes = [models.Index(fields=["user", "-updated_at"], name="pgknowbase_chat_session_user")]

    def __str__(self) -> str:
        return self.title or str(self.pk)

    @property
    def usage(self) -> Usage:
        """Tokens and cost of all its answers."""
        answers = self.messages.filter(role=ChatMessage.Role.ASSISTANT).select_related("execution", "rewriting")
        return Usage.of(run for answer in answers for run in answer.runs)


class ChatMessage(models.Model):
    """A question, or the answer to one."""

    class Role(models.TextChoices):
        USER = "user", "User"
        ASSISTANT = "assistant", "Assistant"

    class Mode(models.TextChoices):
        MODEL = "model", "Answer of a language model"
        EXTRACTIVE = "extractive", "Passages word for word"
        UNKNOWN = "unknown", "Nothing relevant is known"
        FAILED = "failed", "Incomplete"

    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="messages")
    role = models.CharField(max_length=10, choices=Role.choices)
    content = models.TextField(blank=True)
    reply_to = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="answer",
        help_text="The question that it answers.",
    )
    mode = models.CharField(max_length=10, choices=Mode.choices, blank=True, help_text="How an answer was made.")
    search_query = models.TextField(blank=True, help_text="What was searched for.")
    citations = models.JSONField(
        default=list, blank=True, help_text="The passages that the markers [n] in the text name."
    )
    dropped = models.JSONField(
        default=list, blank=True, help_text="Markers that did not name a passage and were removed."
    )
    # No database constraints: rows of runs are committed on a connection of their own, which this transaction may not
    # see.
    execution = models.ForeignKey(
        "pgknowbase_agents.AgentExecution",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
        help_text="The run that answered.",
    )
    rewriting = models.ForeignKey(
        "pgknowbase_agents.AgentExecution",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
        help_text="The run that rewrote the follow-up question.",
    )
    idempotency_key = models.CharField(
        max_length=200, blank=True, default="", help_text="Key of the request that asked."
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "pgknowbase_chat_message"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["session", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="pgknowbase_chat_message_once",
            ),
        ]
        indexes = [models.Index(fields=["session", "id"], name="pgknowbase_chat_message_order")]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:60]}"

    @property
    def runs(self) -> list[Any]:
        """The rows of the runs behind an answer."""
        return [run for run in (self.rewriting, self.execution) if run is not None]

    @property
    def usage(self) -> Usage:
        """Tokens and cost of the runs behind an answer."""
        return Usage.of(self.runs)
