from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class OutboxEvent(models.Model):
    """One committed change of a watched table. Written by triggers alone, deleted by the relay.

    ``object_keys`` are primary keys as text (a JSON array for a composite key), None for TRUNCATE. Those of the source
    model where ``path`` is '', else values of that lookup from the source model, such as ``author__pk``.
    """

    class Op(models.TextChoices):
        INSERT = "I", "insert"
        UPDATE = "U", "update"
        DELETE = "D", "delete"
        TRUNCATE = "T", "truncate"

    id = models.BigAutoField(primary_key=True)
    source = models.TextField(help_text="Label of the source model, such as 'blog.Article'.")
    path = models.TextField(
        db_default="",
        default="",
        help_text="Lookup from the source model to the row that changed; '' is the row itself.",
    )
    object_keys = ArrayField(models.TextField(), null=True)
    op = models.CharField(max_length=1, choices=Op.choices)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "pgknowbase_outbox"
        ordering = ["id"]
        verbose_name = "outbox event"

    def __str__(self) -> str:
        keys = "(all)" if self.object_keys is None else ", ".join(map(str, self.object_keys))
        return f"{self.get_op_display()} {self.source} {self.path and self.path + '='}{keys}"


class Expansion(models.Model):
    """A change of related rows, or of a whole table, on its way to the source rows it concerns, a page at a time.

    Written and deleted by the relay. ``object_keys`` None: every row of the source model where ``path`` is given, else
    every object that the index knows of it.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.TextField(help_text="Label of the source model.")
    path = models.TextField(blank=True, help_text="Lookup from the source model to the rows that changed.")
    object_keys = ArrayField(models.TextField(), null=True, help_text="Values of that lookup; none for all.")
    after = models.TextField(null=True, help_text="The last object that is done.")  # noqa: DJ001 - None: none is
    turned_at = models.DateTimeField(db_default=Now(), help_text="When a relay last took a page of it.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "pgknowbase_expansion"
        ordering = ["turned_at", "id"]
        indexes = [models.Index(fields=["turned_at", "id"], name="pgknowbase_expansion_turn")]

    def __str__(self) -> str:
        keys = "(all)" if self.object_keys is None else f"{len(self.object_keys)} keys"
        return f"{self.source} {self.path} {keys}"
