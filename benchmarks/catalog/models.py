"""Three tables of one shape: watched by pgknowbase, watched by nobody, watched by a vectorizer of pgai's own.

And two more source models: one that keeps its rows out of the index, and one whose rows show a related row.
"""

from typing import Any

from django.db import models

from pgknowbase.mixins import ExternalDataMixin


class Text(models.Model):
    title = models.CharField(max_length=200)
    body = models.TextField()
    views = models.IntegerField(default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title


class Article(ExternalDataMixin, Text):
    class ExternalDataMeta:
        watch_fields = ["title", "body"]
        similarity_threshold = 0.0
        is_public = True

    def get_external_content(self) -> str:
        return self.body


class PlainArticle(Text):
    """Nobody watches it."""


class PgaiArticle(Text):
    """Gets a vectorizer of pgai's own, directly on the table."""


class Draft(ExternalDataMixin, Text):
    """Never in the index: what its events cost is the outbox."""

    class ExternalDataMeta:
        watch_fields = ["title", "body"]

    def should_sync_to_external_data(self) -> bool:
        return False


class Author(models.Model):
    name = models.CharField(max_length=200)
    email = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name


class Story(ExternalDataMixin, Text):
    """Shows its author's name in the text, which is embedded, and the address in the metadata, which is not."""

    author = models.ForeignKey(Author, models.CASCADE)

    class ExternalDataMeta:
        watch_fields = ["title", "body", "author__name", "author__email"]
        similarity_threshold = 0.0
        is_public = True

    def get_external_content(self) -> str:
        return f"By {self.author.name}. {self.body}"

    def get_external_metadata(self) -> dict[str, Any]:
        return {"email": self.author.email}


class Passage(ExternalDataMixin, models.Model):
    """A document of a labelled set."""

    name = models.TextField()
    title = models.TextField()
    text = models.TextField()

    class ExternalDataMeta:
        watch_fields = ["title", "text"]
        similarity_threshold = 0.0
        is_public = True

    def __str__(self) -> str:
        return self.name

    def get_external_content(self) -> str:
        return self.text or self.title
