"""The workers that are running."""

from django.db import models


class WorkerHeartbeat(models.Model):
    """The heartbeat of a running worker.

    The worker sets ``beat_at`` every few seconds. Once that is longer ago than the timeout, another worker deletes the
    row and releases what the worker had leased.
    """

    class Role(models.TextChoices):
        BOTH = "both", "Relay and vectorizer"
        RELAY = "relay", "Relay"

    id = models.UUIDField(primary_key=True, editable=False)
    host = models.TextField()
    pid = models.IntegerField("process id")
    role = models.TextField(choices=Role.choices)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField("last beat")
    events = models.BigIntegerField(default=0, help_text="Outbox events taken since it started.")
    documents = models.BigIntegerField(default=0, help_text="Documents embedded since it started.")
    failed = models.BigIntegerField(default=0, help_text="Rows and documents that failed since it started.")
    lease = models.DateTimeField(null=True, help_text="The lease on the documents that it is embedding.")

    class Meta:
        db_table = "pgknowbase_worker"
        ordering = ["started_at"]
        verbose_name = "worker"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
