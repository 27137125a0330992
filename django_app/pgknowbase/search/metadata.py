"""Filters on metadata: from a dict with operators to what the SQL functions take, a jsonb and a jsonpath."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeAlias

from pgknowbase.errors import SearchError

DEEPEST = 20
MOST_CONDITIONS = 500
LARGEST_NUMBER = 1e300
SHOWN = 60

Metadata: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Compiled:
    """``contained``: JSON that the metadata must contain. ``matching``: a jsonpath predicate that must hold."""

    contained: str | None = None
    matching: str | None = None


def compiled(metadata: Metadata | None) -> Compiled:
    """``{"kind": "a", "year": {"gte": 2020, "lt": 2025}, "topics": {"contains": ["x"]}}`` for the database.

    A plain value must be equal; a dict holds operators. Nothing becomes SQL text: both results are parameters.

    Raises:
        SearchError: an unknown operator, or a key or value that it cannot take; the message names it.
    """
    if metadata is None:
        return Compiled()
    if not isinstance(metadata, Mapping):
        raise SearchError(f"metadata {shown(metadata)} is no dict: pass one from key to value or operators.")
    _check_number(metadata)
    contained: dict[str, Any] = {}
    conditions: list[str] = []
    for key, wanted in metadata.items():
        _check_text(key, "key")
        operators = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
        if not operators or {"eq", "contains"} <= operators.keys():
            raise SearchError(
                f"metadata {shown(key)} has {'both eq and contains' if operators else 'no operator'}: pass one."
            )
        for operator, value in operators.items():
            if operator in _CONTAINED:
                contained[key] = _CONTAINED[operator](key, value)
            elif operator in _CONDITIONS:
                conditions.append(_CONDITIONS[operator](key, value))
            else:
                known = ", ".join([*_CONTAINED, *_CONDITIONS])
                raise SearchError(f"metadata {shown(key)}: unknown operator {shown(operator)}, use one of {known}.")
    # strict: a comparison looks at the value itself, not into a list.
    return Compiled(
        contained=_json(contained) if contained else None,
        matching=f"strict {' && '.join(conditions)}" if conditions else None,
    )


def _equal(key: str, value: Any) -> Any:
    return _scalar(key, "eq", value)


def _contains(key: str, value: Any) -> Any:
    if isinstance(value, str | int | float | None):
        return [_scalar(key, "contains", value)]
    if not isinstance(value, Mapping | list | tuple):
        raise SearchError(f"metadata {shown(key)}: contains takes a value, a list or a dict, not {_kind(value)}.")
    for part in _parts(key, value):
        if not isinstance(part, Mapping | list | tuple):
            _scalar(key, "contains", part)
    return value


def _parts(key: str, value: Any, depth: int = 1) -> Iterator[Any]:
    """All values inside ``value``; the keys of dicts are checked on the way."""
    if depth > DEEPEST:
        raise SearchError(f"metadata {shown(key)} is nested more than {DEEPEST} deep: pass flatter values.")
    if isinstance(value, Mapping):
        for name in value:
            _check_text(name, "key")
        value = list(value.values())
    for part in value:
        yield part
        if isinstance(part, Mapping | list | tuple):
            yield from _parts(key, part, depth + 1)


def _compare(operator: str, sign: str) -> Callable[[str, Any], str]:
    def condition(key: str, value: Any) -> str:
        if value is None or isinstance(value, bool):
            raise SearchError(f"metadata {shown(key)}: {operator} takes a number or a text, not {value!r}.")
        return f"$.{_json(key)} {sign} {_json(_scalar(key, operator, value))}"

    return condition


def _one_of(key: str, values: Any) -> str:
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence | set | frozenset):
        raise SearchError(f"metadata {shown(key)}: in takes a list of values, not {_kind(values)}.")
    _check_number(values)
    path = f"$.{_json(key)}"
    terms = [f"{path} == {_json(_scalar(key, 'in', value))}" for value in values]
    return f"({' || '.join(terms) or '1 == 2'})"


_CONTAINED: dict[str, Callable[[str, Any], Any]] = {"eq": _equal, "contains": _contains}
_CONDITIONS: dict[str, Callable[[str, Any], str]] = {
    "gt": _compare("gt", ">"),
    "gte": _compare("gte", ">="),
    "lt": _compare("lt", "<"),
    "lte": _compare("lte", "<="),
    "in": _one_of,
}


def _check_number(conditions: Sized) -> None:
    if len(conditions) > MOST_CONDITIONS:
        raise SearchError(f"metadata has {len(conditions)} conditions in one place: pass at most {MOST_CONDITIONS}.")


def _scalar(key: str, operator: str, value: Any) -> Any:
    if isinstance(value, str):
        _check_text(value, f"value of {shown(key)}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) > LARGEST_NUMBER or not math.isfinite(value):
            raise SearchError(f"metadata {shown(key)}: {operator} takes finite numbers up to {LARGEST_NUMBER:.0e}.")
    elif value is not None and not isinstance(value, bool):
        raise SearchError(
            f"metadata {shown(key)}: {operator} takes a text, number, bool or None, not {_kind(value)}: use contains"
            " for lists and dicts, in for one of several values, and isoformat() for dates."
        )
    return value


def _check_text(text: Any, what: str) -> None:
    if not isinstance(text, str):
        raise SearchError(f"metadata has the {what} {shown(text)}, which is no text: pass a str.")
    if not storable(text):
        raise SearchError(f"metadata has the {what} {shown(text)} with a NUL or a lone surrogate: remove it.")


def storable(text: str) -> bool:
    """Whether Postgres can take ``text``: it holds no NUL and no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _json(value: Any) -> str:
    """JSON text; a quoted string or a number of it means the same in jsonpath."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=dict)


def _kind(value: Any) -> str:
    return repr(type(value).__name__)


def shown(value: Any) -> str:
    """The beginning of a value, for messages."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
