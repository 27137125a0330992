"""What the index knows of a source row without its text."""

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from pgknowbase.core.keys import parse_keys
from pgknowbase.models.document import Chunk, Document
from pgknowbase.search.external import ExternalDataManager


class ExternalDataType(models.TextChoices):
    """Where an object comes from."""

    MODEL = "model", "Model"
    API = "api", "API"
    CUSTOM = "custom", "Custom"


class ExternalDataStatus(models.TextChoices):
    """How far the newest state of an object has come.

    ``PENDING``: rendered, and waiting for its embeddings. ``PROCESSING``: leased by a worker. ``COMPLETED``: indexed.
    ``FAILED``: rendering or embedding failed; ``retry_at`` says when it is retried, None makes it a dead letter.
    """

    PENDING = "pending", "Pending"
    PROCESSING = "processing", "Processing"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"


class ExternalData(models.Model):
    """What the index knows of one source row. Its text is the ``Document`` of the same key.

    The relay writes these rows with ``pgknowbase_apply_v1``. ``ExternalData.objects.search()`` searches them across
    source models.

    Attributes:
        object_key: the primary key of the source row as text; a JSON array for a composite key.
        content_hash: a hash of the document. Where it is unchanged, the document is neither written nor embedded anew.
        similarity_threshold: the similarity, in [0, 1], from which on a search without ``threshold`` finds the object.
        is_active: whether searches find the object.
        retry_at: when a failed object is rendered again.
        refresh_at: when an object that depends on time is rendered again without an event.
        token_count: the tokens of all chunks, or None where they were not counted.
        updated_at: when text, metadata, tags or visibility of the object last changed in the index.
        processed_at: when its embeddings were last completed.
    """

    source_type = models.CharField(max_length=10, choices=ExternalDataType.choices, default=ExternalDataType.MODEL)
    # Without a database constraint, which would look up and lock the model's row again for each object that is written.
    content_type = models.ForeignKey(
        ContentType,
        on_delete=models.CASCADE,
        db_index=False,
        db_constraint=False,
        related_name="+",
        verbose_name="source model",
    )
    object_key = models.TextField()
    title = models.TextField(blank=True)
    description = models.TextField(blank=True)
    content_hash = models.CharField(max_length=64, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    tags = ArrayField(models.TextField(), default=list, blank=True)
    # Without a database constraint, a user can be deleted by raw SQL although the index still names them.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
    )
    is_public = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    similarity_threshold = models.FloatField(default=0.0)
    status = models.CharField(max_length=10, choices=ExternalDataStatus.choices, default=ExternalDataStatus.PENDING)
    error = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True)
    refresh_at = models.DateTimeField(null=True, blank=True)
    chunk_count = models.PositiveIntegerField(default=0)
    token_count = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    processed_at = models.DateTimeField(null=True, blank=True)

    objects = ExternalDataManager()

    class Meta:
        db_table = "pgknowbase_externaldata"
        verbose_name = "external data"
        verbose_name_plural = "external data"
        permissions = [("search_as_others", "Can see what others find")]
        constraints = [
            models.UniqueConstraint(fields=["content_type", "object_key"], name="pgknowbase_externaldata_key"),
            models.CheckConstraint(
                condition=models.Q(similarity_threshold__gte=0, similarity_threshold__lte=1),
                name="pgknowbase_externaldata_threshold",
            ),
        ]
        indexes = [
            models.Index(
                fields=["content_type", "status"],
                condition=~models.Q(status="completed"),
                name="pgknowbase_ext_unfinished",
            ),
            models.Index(fields=["retry_at"], condition=models.Q(retry_at__isnull=False), name="pgknowbase_ext_retry"),
            models.Index(
                fields=["refresh_at"], condition=models.Q(refresh_at__isnull=False), name="pgknowbase_ext_refresh"
            ),
            # Of all rows: the condition keeps it for the one statement that states it. Where the planner believes that
            # a model has one row, this index would look as good for finding an object as the unique one of its key.
            models.Index(
                fields=["content_type", "similarity_threshold"],
                condition=models.Q(similarity_threshold__gte=0),
                name="pgknowbase_ext_threshold",
            ),
            GinIndex(fields=["metadata"], name="pgknowbase_ext_metadata", opclasses=["jsonb_path_ops"]),
            GinIndex(fields=["tags"], name="pgknowbase_ext_tags"),
        ]

    def __str__(self) -> str:
        return self.title or f"{self.content_type_id}:{self.object_key}"

    @property
    def source_model(self) -> type[models.Model] | None:
        """The class of the source model, or None where its app is no longer installed."""
        return self.content_type.model_class()

    @property
    def document(self) -> Document | None:
        """The rendered text, or None before the first rendering that succeeded."""
        return Document.objects.using(self._state.db).filter(source=self.content_type_id, id=self.object_key).first()

    @property
    def content(self) -> str:
        """The text of the document, or ``''`` where there is none."""
        document = self.document
        return (document.content or "") if document else ""

    @property
    def chunks(self) -> models.QuerySet[Chunk]:
        """The chunks in the active embedding space, in reading order."""
        return Chunk.objects.using(self._state.db).filter(source=self.content_type_id, object_key=self.object_key)

    @property
    def source_object(self) -> Any | None:
        """The source row, or None where it no longer exists."""
        model = self.source_model
        if model is None:
            return None
        return model._base_manager.using(self._state.db).filter(pk__in=parse_keys(model, [self.object_key])).first()
