"""A press with every kind of relation and key. tests/reliability/oracle.py says in SQL what its hooks say."""

import functools
import uuid

import psycopg
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
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


# Types whose equality holds for equal what is stored differently, and collations that do, where the server has them.


@functools.cache
def has_citext(host, port, user, password):
    """Whether the server has the extension; asked beside Django, which may not connect where types are asked for."""
    try:
        with psycopg.connect(host=host, port=port, user=user, password=password, dbname="postgres") as asked:
            found = asked.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'").fetchone()
    except psycopg.OperationalError:  # a command that needs no server must not ask for one
        return False
    return found == (1,)


class AsText(models.TextField):
    """A column of another type, read as the text that Postgres prints."""

    def __init__(self, kind="text", **options):
        self.kind = kind
        super().__init__(**options)

    def deconstruct(self):
        name, path, arguments, options = super().deconstruct()
        return name, path, arguments, {**options, "kind": self.kind}

    def db_type(self, connection):
        server = [connection.settings_dict.get(name) or None for name in ("HOST", "PORT", "USER", "PASSWORD")]
        return "text" if self.kind == "citext" and not (any(server) and has_citext(*server)) else self.kind

    def select_format(self, compiler, sql, params):
        return f"({sql})::text", params


class Record(ExternalDataMixin, models.Model):
    """Columns of which an update may store another value that their type holds for equal."""

    binary = AsText("jsonb")
    raw = AsText("json")
    amount = AsText("numeric")
    span = AsText("interval")
    level = AsText("double precision")
    caseless = AsText("citext")
    folded = models.TextField()  # under the collation press_ignoring_case where the server has ICU

    class ExternalDataMeta:
        watch_fields = ["binary", "raw", "amount", "span", "level", "caseless", "folded"]

    def __str__(self):
        return "record"

    def get_external_content(self):
        return "\n".join(getattr(self, name) for name in self.ExternalDataMeta.watch_fields)


# Keys whose cast to text is not one spelling.


class Keyed(ExternalDataMixin, models.Model):
    text = models.TextField()

    class Meta:
        abstract = True

    class ExternalDataMeta:
        watch_fields = ["text"]

    def __str__(self):
        return self.text

    def get_external_content(self):
        return self.text


class Host(Keyed):
    key = models.GenericIPAddressField(primary_key=True)


class Route(Keyed):
    key = ArrayField(models.IntegerField(), primary_key=True)


class Label(Keyed):
    key = AsText("citext", primary_key=True)


class Mark(Keyed):
    pk = models.CompositePrimaryKey("code", "level", "digest")
    code = AsText("char(5)")
    level = models.FloatField()
    digest = models.BinaryField()


class Shift(Keyed):
    pk = models.CompositePrimaryKey("start", "length")
    start = models.TimeField()
    length = models.DurationField()


class Slot(Keyed):
    """A composite key of such types, one of them a foreign key."""

    pk = models.CompositePrimaryKey("host", "is_open", "at")
    host = models.ForeignKey(Host, models.CASCADE)
    is_open = models.BooleanField()
    at = models.DateTimeField()

    class ExternalDataMeta:
        watch_fields = ["text", "host__text"]

    def get_external_content(self):
        return f"{self.text}\non {self.host.text}"


class Venue(models.Model):
    name = models.TextField()

    def __str__(self):
        return self.name


class Hall(ExternalDataMixin, Venue):
    """A child in multi-table inheritance, whose parent row is replaced under it."""

    seats = models.IntegerField(default=0)

    class ExternalDataMeta:
        watch_fields = ["name", "seats"]

    def get_external_content(self):
        return f"{self.name} has {self.seats} seats"


class Sheet(ExternalDataMixin, models.Model):
    """Was called Leaf. Its last migration is taken back and applied again while rows change."""

    text = models.TextField()

    class ExternalDataMeta:
        watch_fields = ["text"]

    def __str__(self):
        return self.text
