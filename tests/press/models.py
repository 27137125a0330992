"""A press with every kind of relation and key. tests/proof/oracle.py says in SQL what its hooks say."""

import uuid

from django.conf import settings
from django.db import models

from pgknowbase.mixins import ExternalDataMixin

# Whether the texts of articles show related rows, and watch_fields names their paths.
RELATIONS = True
RELATED = ["author__name", "tags", "tags__name", "category__name", "category__parent__name", "comments__body"]


class Author(models.Model):
    name = models.TextField()

    def __str__(self):
        return self.name


class Tag(models.Model):
    name = models.TextField()

    def __str__(self):
        return self.name


class Category(models.Model):
    name = models.TextField()
    parent = models.ForeignKey("self", models.CASCADE, null=True)

    def __str__(self):
        return self.name


class Article(ExternalDataMixin, models.Model):
    title = models.TextField()
    body = models.TextField()
    hidden = models.BooleanField(default=False)
    rating = models.IntegerField(default=0)  # in the metadata alone
    views = models.IntegerField(default=0)  # not watched
    author = models.ForeignKey(Author, models.SET_NULL, null=True)
    category = models.ForeignKey(Category, models.CASCADE, null=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    tags = models.ManyToManyField(Tag)

    class ExternalDataMeta:
        watch_fields = ["title", "body", "hidden", "rating", "author", "category", *(RELATED if RELATIONS else [])]

    def __str__(self):
        return self.title

    def should_sync_to_external_data(self):
        return not self.hidden

    def get_external_content(self):
        lines = [self.body, f"author {self.author_id}", f"category {self.category_id}"]
        if RELATIONS:
            lines.append(f"by {self.author.name if self.author else '-'}")
            parent = self.category.parent if self.category else None
            lines.append(f"in {self.category.name if self.category else '-'} of {parent.name if parent else '-'}")
            lines += sorted(f"comment {comment.body}" for comment in self.comments.all())
        return "\n".join(lines)

    def get_external_metadata(self):
        return {"author": self.author_id, "rating": self.rating}

    def get_external_tags(self):
        return [tag.name for tag in self.tags.all()] if RELATIONS else [f"c{self.category_id}"]


class Comment(models.Model):
    article = models.ForeignKey(Article, models.CASCADE, related_name="comments")
    body = models.TextField()

    def __str__(self):
        return self.body


class Page(ExternalDataMixin, models.Model):
    """A UUID key. Deleted with its article by the database: Django knows nothing of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.TextField()
    article = models.ForeignKey(Article, models.DO_NOTHING, null=True)

    class ExternalDataMeta:
        watch_fields = ["text"]
        is_public = True

    def __str__(self):
        return self.text


class Slip(ExternalDataMixin, models.Model):
    """A text key that changes."""

    key = models.TextField(primary_key=True)
    text = models.TextField()

    class ExternalDataMeta:
        watch_fields = ["text"]

    def __str__(self):
        return self.key


class Cell(ExternalDataMixin, models.Model):
    """A composite key of a number and a text."""

    pk = models.CompositePrimaryKey("row", "column")
    row = models.IntegerField()
    column = models.TextField()
    text = models.TextField()

    class ExternalDataMeta:
        watch_fields = ["text"]

    def __str__(self):
        return self.text
