"""The default document of a row: the values of its watched paths, with their names."""

import json
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models.constants import LOOKUP_SEP

from pgknowbase.sources.declaration import SourceRow
from pgknowbase.sources.paths import accessor, is_many, walk
from pgknowbase.sources.registry import declaration_of


def default_content(row: SourceRow) -> str:
    """The text of a row without a hook: one line per watched path, ``Name: value``; a single path without its name.

    >>> default_content(Article(title="Triggers", body="They write the outbox."))
    'Title: Triggers\\n\\nBody: They write the outbox.'
    """
    paths = declaration_of(row._meta.model).watch_fields
    watched = frozenset(paths)
    parts: list[tuple[str, str]] = []
    for path in paths:
        steps = list(walk(row._meta.model, path))
        texts = [text for value in _values(row, steps, "", watched) if (text := _text(*value))]
        if texts:
            separator = ", " if all(len(text) < 80 and "\n" not in text for text in texts) else "\n"
            parts.append((_name(steps), separator.join(dict.fromkeys(texts))))
    if len(paths) == 1:
        return parts[0][1] if parts else ""
    return "\n\n".join(f"{name[:1].upper()}{name[1:]}: {text}" for name, text in parts)


def _values(row: Any, steps: list[Any], prefix: str, watched: frozenset[str]) -> Iterator[tuple[Any, Any]]:
    """Pairs of the object at the end of a path and the field there; the field is None for the object itself.

    Args:
        prefix: the path to ``row``, with '__' behind it; '' for the source row.
    """
    step, *rest = steps
    if not step.is_relation:
        yield row, step
        return
    prefix = f"{prefix}{step.name}{LOOKUP_SEP}"
    for target in _targets(row, step, prefix, watched):
        if rest:
            yield from _values(target, rest, prefix, watched)
        else:
            yield target, None


def _targets(row: Any, step: Any, prefix: str, watched: frozenset[str]) -> list[Any]:
    name = accessor(step)
    if is_many(step):
        found = getattr(row, name).all()
        if _is_order_watched(found, prefix, watched):
            return list(found)
        # By their keys: in an order that nobody watches, the text would be out of date without notice, and in none it
        # would change with the plan of a query.
        return sorted(found, key=lambda target: target.pk)
    try:
        target = getattr(row, name)
    except ObjectDoesNotExist:
        return []
    return [] if target is None else [target]


def _is_order_watched(found: Any, prefix: str, watched: frozenset[str]) -> bool:
    """Whether each column that these related rows are ordered by is a watched path, or their key."""
    opts = found.model._meta
    names = found.query.order_by or (opts.ordering if found.query.default_ordering else ())
    columns = {field.name for field in opts.concrete_fields if not field.is_relation}
    keys = {"pk", opts.pk.name}
    plain = [name.removeprefix("-") if isinstance(name, str) else "" for name in names]
    return bool(plain) and all(
        name in keys or (f"{prefix}{name}" in watched and (name in columns or LOOKUP_SEP in name)) for name in plain
    )


def _name(steps: list[Any]) -> str:
    return " ".join(_verbose(step) for step in steps)


def _verbose(step: Any) -> str:
    if hasattr(step, "verbose_name"):
        return str(step.verbose_name)
    opts = step.related_model._meta
    return str(opts.verbose_name_plural if is_many(step) else opts.verbose_name)


def _text(target: Any, field: Any) -> str:
    if field is None:
        return str(target)
    value = getattr(target, f"get_{field.name}_display")() if field.choices else getattr(target, field.attname)
    if value is None:
        return ""
    is_json = isinstance(value, dict | list)
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False) if is_json else str(value)
