"""Models that reactions watch, with keys of every kind."""

import uuid

from django.db import models

from pgknowbase.mixins import ExternalDataMixin


class Story(models.Model):
    title = models.TextField(default="")
    body = models.TextField(default="")
    status = models.TextField(default="draft")
    summary = models.TextField(default="")

    def __str__(self):
        return self.title


class Report(ExternalDataMixin, models.Model):
    """In the index too, where its status is not watched."""

    title = models.TextField()
    status = models.TextField(default="draft")

    class ExternalDataMeta:
        watch_fields = ["title"]

    def __str__(self):
        return self.title


class Ticket(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.TextField()

    def __str__(self):
        return self.text


class Label(models.Model):
    key = models.TextField(primary_key=True, db_column="the Key")
    text = models.TextField()

    def __str__(self):
        return self.key


class Cell(models.Model):
    pk = models.CompositePrimaryKey("row", "place")
    row = models.TextField()
    place = models.IntegerField()
    text = models.TextField()

    def __str__(self):
        return self.text


class Shift(models.Model):
    """A key whose text depends on the session."""

    at = models.DateTimeField(primary_key=True)
    text = models.TextField()

    def __str__(self):
        return self.text


class Wire(models.Model):
    """What an agent reads."""

    headline = models.TextField(default="")
    text = models.TextField(default="")
    status = models.TextField(default="new")
    access_token = models.TextField(default="hidden")
    summary = models.TextField(default="")
    score = models.FloatField(null=True)

    def __str__(self):
        return self.headline


class Call(models.Model):
    """What the reactions were called with."""

    reaction = models.TextField()
    object_key = models.TextField()
    op = models.TextField()
    seen = models.TextField(default="")
    idempotency_key = models.UUIDField()
    attempt = models.IntegerField()
    depth = models.IntegerField()
    ended = models.BooleanField(default=True)

    def __str__(self):
        return f"{self.reaction} {self.object_key}"
