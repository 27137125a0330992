"""Two source models, ``Module`` and ``Entry``, and ``Draft``, which a reaction analyses."""

from typing import Any

from django.db import models

from pgknowbase.mixins import ExternalDataMixin

MAX_TITLE_SIGNATURE = 100


class Library(models.TextChoices):
    """The library that is documented."""

    PYTHON = "python", "Python"
    DJANGO = "django", "Django"


class Kind(models.TextChoices):
    """What an entry documents."""

    CLASS = "class", "Class"
    FUNCTION = "function", "Function"
    METHOD = "method", "Method"


class Module(ExternalDataMixin, models.Model):
    """A public module such as ``gzip``; without a docstring it is not in the index."""

    name = models.CharField(max_length=200, unique=True)
    library = models.CharField(max_length=10, choices=Library)
    docstring = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]

    class ExternalDataMeta:
        watch_fields = ["name", "docstring"]
        similarity_threshold = 0.2
        is_public = True

    def __str__(self) -> str:
        return self.name

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return first_line(self.docstring)

    def get_external_title(self) -> str:
        """``gzip``"""
        return self.name

    def get_external_content(self) -> str | None:
        """The docstring."""
        return self.docstring or None

    def get_external_metadata(self) -> dict[str, Any]:
        """The values that a search can filter by."""
        return {"library": self.library, "kind": "module", "module": self.name}

    def get_external_tags(self) -> list[str]:
        """``["python", "module"]``"""
        return [self.library, "module"]


class Entry(ExternalDataMixin, models.Model):
    """A documented class, function or method; ``qualname`` is the full dotted name."""

    module = models.ForeignKey(Module, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=200)
    qualname = models.CharField(max_length=255, unique=True)
    signature = models.TextField(blank=True)
    docstring = models.TextField()
    line = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["qualname"]
        verbose_name_plural = "entries"

    class ExternalDataMeta:
        watch_fields = ["qualname", "kind", "signature", "docstring", "module"]
        similarity_threshold = 0.2
        is_public = True

    def __str__(self) -> str:
        return self.qualname

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return first_line(self.docstring)

    @classmethod
    def get_external_queryset(cls) -> models.QuerySet["Entry"]:
        """Load the module of each row in the same query, so that rendering a batch costs one query."""
        return cls._default_manager.select_related("module")

    def get_external_title(self) -> str:
        """``gzip.open(filename, mode='rb', ...)``"""
        signature = self.signature
        if len(signature) > MAX_TITLE_SIGNATURE:
            signature = signature[:MAX_TITLE_SIGNATURE].rpartition(", ")[0] + ", ...)"
        return f"{self.qualname}{signature}"

    def get_external_content(self) -> str | None:
        """The docstring."""
        return self.docstring

    def get_external_metadata(self) -> dict[str, Any]:
        """The values that a search can filter by."""
        return {"library": self.module.library, "kind": self.kind, "module": self.module.name}

    def get_external_tags(self) -> list[str]:
        """``["python", "function"]``"""
        return [self.module.library, self.kind]


class Draft(models.Model):
    """An article in the making. The worker fills the fields after ``body``, see ``reactions``."""

    title = models.CharField(max_length=200)
    body = models.TextField()
    summary = models.TextField(blank=True, db_default="", default="")
    keywords = models.JSONField(null=True, blank=True)
    related = models.JSONField(null=True, blank=True, help_text="The most similar entries.")
    language = models.CharField(max_length=30, blank=True, db_default="", default="")
    reading_ease = models.FloatField(null=True, blank=True, help_text="Flesch: 100 is easy, 0 is hard. English only.")
    analysed_by = models.CharField(max_length=200, blank=True, db_default="", default="")
    analysed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.title


def first_line(text: str) -> str:
    """The first line of ``text`` that is not blank."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
