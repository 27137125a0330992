"""The second reader of changes: the events of reactions, and their deliveries."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from pgknowbase.models.outbox import OutboxEvent


class ReactionEvent(models.Model):
    """Committed changes that a reaction is to run for. Only triggers write these rows; the worker deletes them."""

    id = models.BigAutoField(primary_key=True)
    reaction = models.TextField(help_text="Name of the reaction.")
    object_keys = ArrayField(models.TextField(), help_text="Primary keys of the changed rows.")
    op = models.CharField(max_length=1, choices=OutboxEvent.Op.choices)
    chain = models.TextField(blank=True, db_default="", default="", help_text="The reactions that led to the change.")
    created_at = models.DateTimeField(db_default=Now())
    traceparent = models.TextField(null=True, help_text="The trace that made the change.")  # noqa: DJ001 - None: none

    class Meta:
        db_table = "pgknowbase_reaction_event"
        ordering = ["id"]
        verbose_name = "change for a reaction"
        verbose_name_plural = "changes for reactions"

    def __str__(self) -> str:
        return f"{self.get_op_display()} {self.reaction} {', '.join(map(str, self.object_keys))}"


class DeliveryState(models.TextChoices):
    """The states of a delivery. ``SUPERSEDED``: a newer change, or its success, has made this delivery unnecessary."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    DEAD = "dead", "Dead letter"
    SUPERSEDED = "superseded", "Superseded"
    CANCELLED = "cancelled", "Cancelled"


class Delivery(models.Model):
    """One change that one reaction is to be run for, with its state and outcome.

    Of one reaction and row, at most one delivery is pending and at most one is running; two unique indexes ensure it.
    A delivery that fails is pending until its next attempt, and after the last attempt it is a dead letter. A newer
    change of the row, or its success, supersedes both.
    """

    id = models.BigAutoField(primary_key=True)
    reaction = models.TextField(help_text="Name of the reaction.")
    model = models.TextField(help_text="Label of the model, such as 'blog.Article'.")
    object_key = models.TextField()
    op = models.CharField(max_length=1, choices=OutboxEvent.Op.choices)
    state = models.TextField(choices=DeliveryState.choices, default=DeliveryState.PENDING)
    chain = models.TextField(blank=True, db_default="", default="", help_text="The reactions that led to the change.")
    event = models.BigIntegerField(help_text="Id of the latest change that it stands for.")
    idempotency_key = models.UUIDField(
        db_default=RandomUUID(), help_text="The same at each try for this change, and for no other."
    )
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    due_at = models.DateTimeField(db_default=Now())
    worker = models.UUIDField(null=True, help_text="The worker that runs it.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When the first of the changes was written.")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    traceparent = models.TextField(null=True, help_text="The trace that made the change.")  # noqa: DJ001 - None: none

    class Meta:
        db_table = "pgknowbase_delivery"
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["reaction", "object_key"], condition=Q(state="pending"), name="pgknowbase_delivery_pending"
            ),
            models.UniqueConstraint(
                fields=["reaction", "object_key"], condition=Q(state="running"), name="pgknowbase_delivery_running"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="pending"), name="pgknowbase_delivery_due"),
            models.Index(fields=["reaction", "object_key"], condition=Q(state="dead"), name="pgknowbase_delivery_dead"),
            models.Index(
                fields=["finished_at"],
                condition=Q(state__in=["done", "superseded", "cancelled"]),
                name="pgknowbase_delivery_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reaction} {self.object_key}"
