from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from pgknowbase.keys import parse_keys
from pgknowbase.models.chunk import Chunk
from pgknowbase.models.document import Document
from pgknowbase.search.external import ExternalDataManager


class ExternalDataType(models.TextChoices):
    MODEL = "model", "Model"
    API = "api", "API"
    CUSTOM = "custom", "Custom"


class ExternalDataStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    PROCESSING = "processing", "Processing"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"


class ExternalData(models.Model):
    """What the index knows of one source row. Its text is the document of the same key."""

    source_type = models.CharField(max_length=10, choices=ExternalDataType.choices, default=ExternalDataType.MODEL)
    content_type = models.ForeignKey(
        ContentType, on_delete=models.CASCADE, db_index=False, related_name="+", verbose_name="source model"
    )
    object_key = models.TextField()
    title = models.TextField(blank=True)
    description = models.TextField(blank=True)
    content_hash = models.CharField(max_length=64, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    tags = ArrayField(models.TextField(), default=list, blank=True)
    # No database constraint: a user deleted by raw SQL must not be held back by the index.
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
    similarity_threshold = models.FloatField(default=0.5)
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
            models.Index(fields=["content_type", "similarity_threshold"], name="pgknowbase_ext_threshold"),
            GinIndex(fields=["metadata"], name="pgknowbase_ext_metadata", opclasses=["jsonb_path_ops"]),
            GinIndex(fields=["tags"], name="pgknowbase_ext_tags"),
        ]

    def __str__(self) -> str:
        return self.title or f"{self.content_type_id}:{self.object_key}"

    @property
    def source_model(self) -> type[models.Model] | None:
        """The source model's class, or None where its app is no longer installed."""
        return self.content_type.model_class()

    @property
    def document(self) -> Document | None:
        """The rendered text as it was indexed, or None before the first success."""
        return Document.objects.using(self._state.db).filter(source=self.content_type_id, id=self.object_key).first()

    @property
    def content(self) -> str:
        """The document's text, '' where there is none."""
        document = self.document
        return document.content if document else ""

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
