"""Source models of every shape, with watched paths of every kind."""

import uuid

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models

from pgknowbase.mixins import ExternalDataMixin


class Source(ExternalDataMixin):
    """Content by default; found at any similarity."""

    class Meta:
        abstract = True

    def __str__(self):
        return str(self.pk)

    def get_external_title(self):
        return ""


class Topic(models.Model):
    name = models.TextField()
    slug = models.TextField(unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")

    def __str__(self):
        return self.name


class Tag(models.Model):
    name = models.TextField(db_column="Name ñ")

    class Meta:
        db_table = "shapes Tag ü"

    def __str__(self):
        return self.name


class Essay(Source):
    """Across relations: forward, twice forward, many-to-many, reverse, a model of another app."""

    title = models.TextField()
    topic = models.ForeignKey(Topic, models.CASCADE, null=True, to_field="slug", related_name="essays")
    writer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag)
    groups = models.ManyToManyField(Group, through="Grouping")

    class ExternalDataMeta:
        watch_fields = [
            "title",
            "topic__name",
            "topic__parent__name",
            "writer__username",
            "tags__name",
            "groups",
            "groupings__weight",
            "remarks__text",
            "remarks__writer__username",
            "badge__text",
        ]
        owner_field = "writer"


class Grouping(models.Model):
    essay = models.ForeignKey(Essay, models.CASCADE, related_name="groupings")
    group = models.ForeignKey(Group, models.CASCADE)
    weight = models.IntegerField(default=0)


class Remark(models.Model):
    essay = models.ForeignKey(Essay, models.CASCADE, null=True, related_name="remarks")
    writer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    text = models.TextField()
    likes = models.IntegerField(default=0)


class Badge(models.Model):
    essay = models.OneToOneField(Essay, models.CASCADE, primary_key=True)
    text = models.TextField()


class Shelf(Source):
    """By its slug and not by its key do essays of a topic reach it."""

    topic = models.ForeignKey(Topic, models.CASCADE, db_constraint=False)
    label = models.ForeignKey(
        Topic, models.CASCADE, to_field="slug", db_constraint=False, null=True, related_name="labelled"
    )

    class ExternalDataMeta:
        watch_fields = ["topic", "topic__essays__title", "topic__children", "label__name"]


class Place(models.Model):
    """A parent that is no source."""

    name = models.TextField()
    tags = models.ManyToManyField(Tag)


class Museum(Source, Place):
    """A child in multi-table inheritance that watches its parent's columns."""

    hours = models.TextField(default="")

    class ExternalDataMeta:
        watch_fields = ["name", "hours", "tags"]


class Person(Source):
    name = models.TextField()
    kind = models.TextField(default="")

    class ExternalDataMeta:
        watch_fields = ["name"]


class Pilot(Person):
    """A child of a source, which is known as a row of its parent."""

    licence = models.TextField(default="")


class Friend(Person):
    """A proxy of a source, which is no source of its own."""

    class Meta:
        proxy = True


class IndexedGroup(Source, Group):
    """A proxy that makes a source of another app's model."""

    class Meta:
        proxy = True

    class ExternalDataMeta:
        watch_fields = ["name"]


class Seat(Source):
    """A composite key."""

    pk = models.CompositePrimaryKey("row", "place")
    row = models.TextField()
    place = models.IntegerField()
    note = models.TextField()
    topic = models.ForeignKey(Topic, models.CASCADE, null=True)

    class ExternalDataMeta:
        watch_fields = ["note", "topic__name"]


class Moment(Source):
    """A key whose text depends on the session."""

    at = models.DateTimeField(primary_key=True)
    note = models.TextField()

    class ExternalDataMeta:
        watch_fields = ["note"]


class Token(Source):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    note = models.TextField()

    class ExternalDataMeta:
        watch_fields = ["note", "uses__note"]


class Use(models.Model):
    token = models.ForeignKey(Token, models.CASCADE, related_name="uses", db_column="the token")
    note = models.TextField()


class Measurement(Source):
    """A table that Django does not manage: partitioned, in a schema of its own."""

    id = models.BigIntegerField(primary_key=True)
    place = models.TextField()
    note = models.TextField()

    class Meta:
        managed = False
        db_table = '"lab"."mea\'surement"'

    class ExternalDataMeta:
        watch_fields = ["note"]
