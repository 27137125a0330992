import uuid

from django.conf import settings
from django.db import models

from pgknowbase.mixins import ExternalDataMixin
from pgknowbase.models import ExternalDataType
from pgknowbase.search.queryset import SemanticQuerySet


class Category(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self):
        return self.name


class Article(ExternalDataMixin, models.Model):
    """Everything by default but the metadata."""

    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    status = models.CharField(max_length=20, default="published")
    category = models.ForeignKey(Category, models.CASCADE, null=True, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True)
    year = models.IntegerField(null=True, blank=True)
    views = models.IntegerField(default=0)

    class ExternalDataMeta:
        watch_fields = ["title", "body", "category", "year"]
        similarity_threshold = 0.0

    def __str__(self):
        return self.title

    def get_external_metadata(self):
        return {"year": self.year} if self.year else {}

    def get_external_tags(self):
        return [self.category.name] if self.category else []


class Note(ExternalDataMixin, models.Model):
    """A UUID key, public rows, hooks of its own and a manager of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.TextField()
    hidden = models.BooleanField(default=False)

    notes = SemanticQuerySet.as_manager()

    class ExternalDataMeta:
        watch_fields = ["text", "hidden"]
        is_public = True
        similarity_threshold = 0.0
        source_type = ExternalDataType.CUSTOM

    def __str__(self):
        return self.text[:20]

    def get_external_content(self):
        if "explode" in self.text:
            raise RuntimeError("told to explode")
        if "badquery" in self.text:
            return str(Note.notes.extra(where=["no_such_column = 1"]).count())
        return self.text

    def get_external_title(self):
        return ""

    def should_sync_to_external_data(self):
        return not self.hidden


class Slug(ExternalDataMixin, models.Model):
    """A text key with any character, quoted names, and no automatic sync."""

    key = models.TextField(primary_key=True, db_column="the key")
    text = models.TextField(db_column="Überschrift")

    class Meta:
        db_table = "tests slug ñ"

    class ExternalDataMeta:
        watch_fields = ["text"]
        similarity_threshold = 0.0

    def __str__(self):
        return self.key


class Manual(ExternalDataMixin, models.Model):
    """Synced by hand alone."""

    name = models.TextField()

    class ExternalDataMeta:
        watch_fields = ["name"]
        auto_sync = False
        similarity_threshold = 0.0

    def __str__(self):
        return self.name
