"""The outbox, the expansions of its events, and what the triggers that write it watch."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class OutboxEvent(models.Model):
    """Committed changes of a watched table by one statement. Only triggers write these rows; the relay deletes them.

    A statement that changes many rows writes an event for each page of them.

    Attributes:
        object_keys: what changed, or None for TRUNCATE. Where ``path`` is ``''``, these are primary keys of the source
            model as text (a JSON array for a composite key); else values of the lookup ``path``, such as
            ``author__pk``.
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
    traceparent = models.TextField(null=True, help_text="The trace that made the change.")  # noqa: DJ001 - None: none

    class Meta:
        db_table = "pgknowbase_outbox"
        ordering = ["id"]
        verbose_name = "outbox event"

    def __str__(self) -> str:
        keys = "(all)" if self.object_keys is None else ", ".join(map(str, self.object_keys))
        return f"{self.get_op_display()} {self.source} {self.path and self.path + '='}{keys}"


class Expansion(models.Model):
    """The expansion of one event: a change of related rows, or of a whole table, that concerns many source rows.

    The relay writes it when it claims such an event, processes its source rows page by page, and deletes it after the
    last page.

    Attributes:
        object_keys: the values of ``path`` that changed. None stands for every row of the source model where ``path``
            is given, else for every object of that model in the index. With the path ``*`` the model's ``watch_fields``
            have changed.
        turned_at: when a relay last processed a page of it. The oldest comes first, so expansions take turns.
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


class ChangeTrace(models.Model):
    """The trace of the latest change of an object that waits for its embeddings, where changes are traced."""

    id = models.BigAutoField(primary_key=True)
    source = models.IntegerField(help_text="Id of the content type.")
    object_key = models.TextField()
    traceparent = models.TextField(help_text="W3C trace context.")

    class Meta:
        db_table = "pgknowbase_trace"
        constraints = [models.UniqueConstraint(fields=["source", "object_key"], name="pgknowbase_trace_object")]

    def __str__(self) -> str:
        return f"{self.source} {self.object_key}"


class MigratedSource(models.Model):
    """What ``migrate`` last found that a source model watches.

    Two versions of a project run side by side during a deployment. A relay leaves the changes of a model alone whose
    triggers watch other paths than its own version of the model declares.

    Attributes:
        paths: the watched paths, the owner's among them; None where triggers and models do not agree.
    """

    source = models.TextField(primary_key=True, help_text="Label of the source model, such as 'blog.Article'.")
    paths = ArrayField(models.TextField(), null=True, help_text="Watched paths; none: of an unknown version.")
    migrated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "pgknowbase_source"
        verbose_name = "migrated source model"

    def __str__(self) -> str:
        return self.source
