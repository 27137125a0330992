"""The default document of a row: what its watched paths say, by name."""

import json
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.serializers.json import DjangoJSONEncoder

from pgknowbase.capture.paths import accessor, is_many, walk
from pgknowbase.meta import SourceRow
from pgknowbase.registry import source_of


def default_content(row: SourceRow) -> str:
    """A readable document made of the watched fields: one alone stands bare, several carry their names."""
    paths = source_of(row._meta.model).config.watch_fields
    parts: list[tuple[str, str]] = []
    for path in paths:
        steps = list(walk(row._meta.model, path))
        texts = [text for value in _values(row, steps) if (text := _text(*value))]
        if texts:
            separator = ", " if all(len(text) < 80 and "\n" not in text for text in texts) else "\n"
            parts.append((_name(steps), separator.join(dict.fromkeys(texts))))
    if len(paths) == 1:
        return parts[0][1] if parts else ""
    return "\n\n".join(f"{name[:1].upper()}{name[1:]}: {text}" for name, text in parts)


def _values(row: Any, steps: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Pairs of the object at the end of a path and the field there; the field is None for the object itself."""
    step, *rest = steps
    if not step.is_relation:
        yield row, step
        return
    for target in _targets(row, step):
        if rest:
            yield from _values(target, rest)
        else:
            yield target, None


def _targets(row: Any, step: Any) -> list[Any]:
    name = accessor(step)
    if is_many(step):
        found = getattr(row, name).all()
        # An order of its own, where the model has none: the text must not change with the plan of a query.
        return list(found) if found.ordered else sorted(found, key=lambda target: target.pk)
    try:
        target = getattr(row, name)
    except ObjectDoesNotExist:
        return []
    return [] if target is None else [target]


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
