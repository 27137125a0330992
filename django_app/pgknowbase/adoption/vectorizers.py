"""pgai's own vectorizers, as its catalog describes them, and what keeps one from being adopted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models

from pgknowbase.core import gateway
from pgknowbase.core.keys import IN_ARRAYS, SPELLINGS, key_fields, quote
from pgknowbase.errors import AdoptionError

MOST_DIMENSIONS = 4000  # of a space
# As Postgres names types, and as Django does.
DJANGO_TYPES = {"time without time zone": "time"}
TEXT_TYPES = {"text", "character varying", "character", "citext"}


@dataclass(frozen=True, slots=True)
class PgaiVectorizer:
    """A vectorizer that pgai's users made, as ``ai.vectorizer`` and the system catalog have it.

    Attributes:
        columns: the types of the source table's columns by name, without modifiers; empty where the table is gone.
        key: the columns of the source table's primary key, in its order.
        pgai_key: those that pgai knows.
        stored_dimensions: of the stored vectors; None where table or column is gone.
        adopted: by what it was adopted: ``model``, ``space``, ``at``; None while it is pgai's.
    """

    id: int
    name: str
    schema: str
    table: str
    config: dict[str, Any]
    columns: dict[str, str]
    key: tuple[str, ...]
    pgai_key: tuple[str, ...]
    stored_dimensions: int | None
    is_disabled: bool
    is_visible: bool
    may_alter: bool
    may_read: bool

    @property
    def adopted(self) -> dict[str, Any] | None:
        return self.config.get("pgknowbase")

    @property
    def source(self) -> str:
        """Schema and name of the source table, quoted where they must be."""
        return f"{self.schema}.{self.table}"

    @property
    def destination(self) -> dict[str, Any]:
        found: dict[str, Any] = self.config["destination"]
        return found

    @property
    def is_column(self) -> bool:
        """Whether it stores embeddings in a column of the source table: one for each row, and no text."""
        return bool(self.destination["implementation"] == "column")

    @property
    def loading_column(self) -> str:
        return str(self.config["loading"]["column_name"])

    @property
    def model(self) -> str:
        return str(self.config["embedding"]["model"])

    @property
    def dimensions(self) -> int:
        return int(self.config["embedding"]["dimensions"])


def vectorizers(using: str) -> list[PgaiVectorizer]:
    """pgai's vectorizers but for those of embedding spaces, in the order in which they were made."""
    found = []
    for row in gateway.fetch_dicts(using, "pgai_vectorizers"):
        for name in ("config", "columns"):
            row[name] = json.loads(row[name])
        for name in ("key", "pgai_key"):
            row[name] = tuple(row[name])
        found.append(PgaiVectorizer(**row))
    return found


def find_vectorizer(using: str, name: str) -> PgaiVectorizer:
    """The vectorizer of this name.

    Raises:
        AdoptionError: pgai has none.
    """
    found = vectorizers(using)
    for vectorizer in found:
        if vectorizer.name == name:
            return vectorizer
    known = ", ".join(repr(vectorizer.name) for vectorizer in found)
    advice = f"use one of {known}" if known else "this database has none; pass --database for another"
    raise AdoptionError(f"pgai has no vectorizer {name!r} in the database {using!r}: {advice}.")


def check_adoptable(vectorizer: PgaiVectorizer) -> None:
    """Refuse what cannot be adopted, with every reason.

    Raises:
        AdoptionError: the message says what to do about each.
    """
    if reasons := list(_obstacles(vectorizer)):
        raise AdoptionError(f"The vectorizer {vectorizer.name!r} cannot be adopted: {'; '.join(reasons)}.")


def _obstacles(vectorizer: PgaiVectorizer) -> Iterator[str]:
    source = vectorizer.source
    if adopted := vectorizer.adopted:
        yield (
            f"it was adopted already, by {adopted['model']!r}: go back with --undo, or drop what pgai has left of it"
            " with --finish"
        )
        return
    if not vectorizer.columns:
        yield f"its source table {source!r} is gone: drop it with ai.drop_vectorizer()"
        return
    if not vectorizer.is_visible:
        yield (
            f"its source table {source!r} lies in a schema that is not on the search path: put {vectorizer.schema!r}"
            ' into it, with "ALTER ROLE ... SET search_path"'
        )
    if not vectorizer.may_alter:
        yield f"this role does not own {source!r}, so it cannot disable pgai's trigger: connect as the owner"
    if not vectorizer.may_read:
        yield (
            "this role may not read pgai's catalog, queue and store, or not change the catalog: grant it that, with"
            " ai.grant_vectorizer_usage(ROLE, admin => true), or connect as the role that made the vectorizer"
        )
    yield from _key_obstacles(vectorizer)
    yield from _text_obstacles(vectorizer)
    if vectorizer.stored_dimensions is None:
        yield "the table or column of its embeddings is gone: drop it with ai.drop_vectorizer()"
    elif vectorizer.stored_dimensions != vectorizer.dimensions:
        yield (
            f"its vectors have {vectorizer.stored_dimensions} dimensions and its configuration says"
            f" {vectorizer.dimensions}: correct the configuration"
        )
    if vectorizer.dimensions > MOST_DIMENSIONS:
        yield (
            f"its vectors have {vectorizer.dimensions:,} dimensions, and an embedding space has at most"
            f" {MOST_DIMENSIONS:,}: embed the rows with another model instead"
        )


def _key_obstacles(vectorizer: PgaiVectorizer) -> Iterator[str]:
    if not vectorizer.key:
        yield f"{vectorizer.source!r} has no primary key: add one"
    elif sorted(vectorizer.key) != sorted(vectorizer.pgai_key):
        yield (
            f"the primary key of {vectorizer.source!r} is {', '.join(vectorizer.key)}, and pgai knows"
            f" {', '.join(vectorizer.pgai_key)}: make the vectorizer anew"
        )
    for column in vectorizer.key:
        kind = vectorizer.columns[column]
        kind = DJANGO_TYPES.get(kind, kind)
        is_array = kind.endswith("[]") and kind.rstrip("[]") in IN_ARRAYS
        if kind not in SPELLINGS and not is_array:
            yield (
                f"the key column {column!r} is of the type {kind!r}, whose values cannot serve as keys of the index:"
                " make a key of a number, a text, a UUID, a date or a time"
            )


def _text_obstacles(vectorizer: PgaiVectorizer) -> Iterator[str]:
    loading, parsing = vectorizer.config["loading"], vectorizer.config.get("parsing", {"implementation": "auto"})
    kind = vectorizer.columns.get(loading["column_name"])
    if loading["implementation"] != "column":
        yield (
            f"it loads documents from the addresses in {loading['column_name']!r}: store their texts in a column, and"
            " make a vectorizer over that"
        )
    elif kind is None:
        yield f"its column {loading['column_name']!r} is gone: drop it with ai.drop_vectorizer()"
    elif kind not in TEXT_TYPES or parsing["implementation"] not in ("auto", "none"):
        yield (
            f"it reads documents, of the type {kind!r}, from {loading['column_name']!r}: store their texts in a column,"
            " and make a vectorizer over that"
        )


def check_model(using: str, vectorizer: PgaiVectorizer, model: type[models.Model]) -> None:
    """Refuse a model of another table, or with another key.

    Raises:
        AdoptionError: the model's rows are not the vectorizer's.
    """
    label, table = model._meta.label, model._meta.db_table
    if not gateway.fetch_value(
        using, "is_same_table", table=quote(table), schema=vectorizer.schema, of=vectorizer.table
    ):
        raise AdoptionError(
            f"{label!r} is a model of the table {table!r}, and the vectorizer {vectorizer.name!r} reads"
            f" {vectorizer.source!r}: name the model of that table."
        )
    columns = [field.column for field in key_fields(model)]
    if sorted(columns) != sorted(vectorizer.key):
        raise AdoptionError(
            f"The primary key of {label!r} is {', '.join(columns)}, and that of {vectorizer.source!r} is"
            f" {', '.join(vectorizer.key)}: correct the model."
        )
