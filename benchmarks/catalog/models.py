"""Three tables of one shape: watched by pgknowbase, watched by nobody, watched by a vectorizer of pgai's own."""

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
