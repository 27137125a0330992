from django.db import models
from django.db.models.functions import Now


class OutboxEvent(models.Model):
    """One committed change of a watched table. Written by triggers alone, deleted by the relay.

    ``object_key`` is the changed row's primary key as text (a JSON array for a composite key), None for TRUNCATE.
    """

    class Op(models.TextChoices):
        INSERT = "I", "insert"
        UPDATE = "U", "update"
        DELETE = "D", "delete"
        TRUNCATE = "T", "truncate"

    id = models.BigAutoField(primary_key=True)
    source = models.TextField(help_text="Label of the source model, such as 'blog.Article'.")
    object_key = models.TextField(null=True)  # noqa: DJ001 - written by triggers; NULL means the whole table
    path = models.TextField(db_default="", default="", help_text="Watched path that brought the event; '' is the row.")
    op = models.CharField(max_length=1, choices=Op.choices)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "pgknowbase_outbox"
        ordering = ["id"]
        verbose_name = "outbox event"

    def __str__(self) -> str:
        return f"{self.get_op_display()} {self.source} {self.object_key or '(all)'}"
