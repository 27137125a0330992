"""The code of a source model for a vectorizer's table, as ``inspectdb`` would write it, with mixin, paths and hooks."""

import re
from collections.abc import Iterable
from pprint import pformat
from typing import Any

from django.apps import apps
from django.core.management.commands.inspectdb import Command as Inspection
from django.db import connections

from pgknowbase.adoption.mapping import Mapping, Part
from pgknowbase.adoption.vectorizers import PgaiVectorizer
from pgknowbase.relay.rendering import LONGEST_TITLE

FIELD = re.compile(r"    (\w+) = models\.(\w+)\(")
COLUMN = re.compile(r"db_column='([^']+)'")
RELATION = re.compile(r"(models\.(?:ForeignKey|OneToOneField)\()'?(\w+)'?")


def settings_code(mapping: Mapping) -> str:
    """The part of ``settings.PGKNOWBASE`` that describes the vectorizer."""
    parts = {"EMBEDDINGS": {"default": mapping.embedding}, "SPACE": mapping.space}
    return f"PGKNOWBASE = {pformat(parts, width=110, sort_dicts=False)}"


def model_code(using: str, vectorizer: PgaiVectorizer, mapping: Mapping) -> str:
    """The class of a table that has no model yet, or what to add to the model that it has."""
    existing = next((model for model in apps.get_models() if _is_of(model, vectorizer)), None)
    if existing is not None:
        fields = existing._meta.concrete_fields
        names = {str(field.column): field.name for field in fields}
        values = {str(field.column): field.attname for field in fields}
        lines = [
            f"# {existing._meta.label} is the model of this table. Let ExternalDataMixin be the first class that it",
            "# inherits from, and add this to it:",
            *_declaration(mapping, names, values),
        ]
        return "\n".join(lines)
    lines, names, values = _inspected(using, vectorizer.table, vectorizer.destination.get("embedding_column"))
    lines[0] = lines[0].replace("(models.Model)", "(ExternalDataMixin, models.Model)")
    imports = ["from django.db import models", "", "from pgknowbase.mixins import ExternalDataMixin"]
    classes = [_inspected(using, table, None)[0] for table in _related(using, vectorizer.table)]
    classes.append([*lines, *_declaration(mapping, names, values)])
    return "\n".join([*imports, *(line for one in classes for line in ("", "", *one))])


def _is_of(model: Any, vectorizer: PgaiVectorizer) -> bool:
    return bool(model._meta.db_table == vectorizer.table and not model._meta.proxy)


def _related(using: str, table: str) -> list[str]:
    """The tables that foreign keys of a table, and theirs, point at, and that have no model yet."""
    known = {model._meta.db_table for model in apps.get_models()}
    found: list[str] = []
    waiting = [table]
    while waiting:
        for _, other in _relations(using, waiting.pop()).values():
            if other not in known and other not in (table, *found):
                found.append(other)
                waiting.append(other)
    return found


def _relations(using: str, table: str) -> dict[str, tuple[str, str]]:
    """The column and table that each foreign key of a table points at, by its own column."""
    connection = connections[using]
    with connection.cursor() as cursor:
        found: dict[str, tuple[str, str]] = connection.introspection.get_relations(cursor, table)
    return found


def _inspected(using: str, table: str, skipped: str | None) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """The class that ``inspectdb`` writes of a table, and the names of fields and of their values by column."""
    options = {"database": using, "table": [table], "include_partitions": True, "include_views": False}
    inspection = Inspection()
    labels = {model._meta.db_table: model._meta.label for model in apps.get_models()}
    relations = {
        inspection.normalize_table_name(other): labels[other]
        for _, other in _relations(using, table).values()
        if other in labels
    }
    lines = list(inspection.handle_inspection(options))
    lines = lines[next(place for place, line in enumerate(lines) if line.startswith("class ")) :]
    names, values, kept = {"id": "id"}, {"id": "id"}, []
    for line in lines:
        found = FIELD.match(line)
        if found:
            name, kind = found.groups()
            is_relation = kind in ("ForeignKey", "OneToOneField")
            renamed = COLUMN.search(line)
            column = renamed[1] if renamed else f"{name}_id" if is_relation else name
            names[column], values[column] = name, f"{name}_id" if is_relation else name
            if column == skipped:
                continue
            target = RELATION.search(line)
            if target and target[2] in relations:
                line = line.replace(target[0], f"{target[1]}'{relations[target[2]]}'")
        kept.append(line)
    return kept, names, values


def _declaration(mapping: Mapping, names: dict[str, str], values: dict[str, str]) -> Iterable[str]:
    loaded, *_ = mapping.columns
    watched = [names[column] for column in mapping.columns]
    yield from ("", "    class ExternalDataMeta:", f"        watch_fields = {watched!r}")
    if len(watched) > 1:
        content = [f"        return self.{values[loaded]}"]
        yield from ("", "    def get_external_content(self):", *content)
    if mapping.title:
        text = "".join(_formatted(part, values) for part in mapping.title)
        yield from ("", "    def get_external_title(self):", f"        return f{text!r}[:{LONGEST_TITLE}]")


def _formatted(part: Part, values: dict[str, str]) -> str:
    """A part of the title as it stands in an f-string."""
    if isinstance(part, tuple):
        return f"{{self.{values[part[0]]}}}"
    return part.replace("{", "{{").replace("}", "}}")
