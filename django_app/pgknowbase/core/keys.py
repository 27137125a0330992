"""Object keys: a row's primary key as text, spelled alike by triggers, by Python and by the ORM.

A cast to text is not one spelling. It follows the session's ``TimeZone``, ``DateStyle``, ``IntervalStyle``,
``extra_float_digits`` and ``bytea_output``, and differs from ``str()`` for booleans, floats, times and addresses. So
each database type has one ``Spelling``: the SQL expression and the Python function that give the same text for a value.
"""

import ipaddress
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connections, models
from django.db.backends.postgresql.base import DatabaseWrapper
from django.utils import timezone
from django.utils.dateparse import parse_duration

from pgknowbase.errors import ConfigurationError, PgKnowbaseError


@dataclass(frozen=True, slots=True)
class Spelling:
    """How the values of one database type are written as text.

    Attributes:
        sql: The expression, with ``{}`` for the value. It must not depend on a setting of the session.
        spell: The same in Python, from a field and a value of it.
        parse: The way back, from a field and a text; by default the field's own ``to_python()``.
    """

    sql: str
    spell: Callable[[Any, Any], str]
    parse: Callable[[Any, str], Any] = lambda field, text: field.to_python(text)


def object_key(model: type[models.Model], pk: Any) -> str:
    """The key of the row of ``model`` with this primary key: its text, or a JSON array of texts for a composite key.

    Example:
        >>> object_key(Article, 7)
        '7'
    """
    if (alone := _alone(model)) is not None:
        spelling, field = alone
        return spelling.spell(field, pk)
    return _json([spell(field, part) for field, part in zip(key_fields(model), pk, strict=True)])


def parse_key(model: type[models.Model], key: str) -> Any:
    """The primary key value that ``key`` stands for.

    Raises:
        PgKnowbaseError: ``key`` is not a key of ``model``.
    """
    pk: Any = model._meta.pk
    try:
        if (alone := _alone(model)) is not None:
            spelling, field = alone
            return spelling.parse(field, key)
        return tuple(parse(field, part) for field, part in zip(key_fields(model), _parts(key), strict=True))
    except (ValidationError, ValueError, TypeError, ArithmeticError) as error:
        raise PgKnowbaseError(
            f"{key!r} is not a primary key of {model._meta.label!r}: pass the value of {pk.name!r} as text."
        ) from error


def _parts(key: str) -> list[str]:
    parts = json.loads(key)
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError(key)  # a part without a text is null: an endless moment
    return parts


def normal_key(model: type[models.Model], key: str) -> str:
    """``key`` as ``object_key`` spells it; what is not a key of ``model`` stays as it is."""
    try:
        return object_key(model, parse_key(model, key))
    except (PgKnowbaseError, ValidationError, ValueError, TypeError, ArithmeticError):
        return key


def parse_keys(model: type[models.Model], keys: Iterable[str]) -> list[Any]:
    """The primary key values of ``keys``, without those that are not keys of ``model``."""
    found = []
    for key in keys:
        try:
            found.append(parse_key(model, key))
        except PgKnowbaseError:
            continue
    return found


def key_page(rows: "models.QuerySet[Any]", after: str | None, limit: int) -> tuple[list[str], str | None]:
    """Keys of rows behind the key ``after``, in the order of the primary key; at least ``limit`` if there are so many.

    The database spells them. So a row whose key Python cannot hold, such as one with the year 20000, has a key too; it
    may come twice.

    Returns:
        The keys, and the one after which the next page begins, None at the end.
    """
    model = rows.model
    found: Any = rows.order_by("pk").annotate(pgknowbase_key=key_text(model)).values_list("pgknowbase_key", flat=True)
    if after is not None and (pks := parse_keys(model, [after])):  # where the type has changed, it starts again
        found = found.filter(pk__gt=pks[0])
    while True:
        read = list(found[:limit])
        # Endless moments have no text.
        keys = [key for key in read if key is not None]
        if len(read) < limit:
            return keys, None
        if (last := next((key for key in reversed(keys) if parse_keys(model, [key])), None)) is not None:
            return keys, last
        limit *= 10


def key_text(model: type[models.Model], prefix: Callable[[str], Any] = models.F) -> Any:
    """The expression whose value is a row's key; ``prefix`` makes an expression of a field's name."""
    pk: Any = model._meta.pk
    if not isinstance(pk, models.CompositePrimaryKey):
        return _spelled(pk, prefix("pk"))
    parts = [_spelled(field, prefix(field.attname)) for field in key_fields(model)]
    array = models.Func(*parts, function="jsonb_build_array")
    return models.Func(array, template="(%(expressions)s)::text", output_field=models.TextField())


def key_sql(fields: Iterable[Any], row: str) -> str:
    """The SQL of the key of ``row``, for a trigger; ``row`` is an alias such as ``NEW``."""
    texts = [spelling_of(field).sql.format(f"{row}.{quote(field.column)}") for field in fields]
    return texts[0] if len(texts) == 1 else f"jsonb_build_array({', '.join(texts)})::text"


def key_fields(model: type[models.Model]) -> tuple[Any, ...]:
    """The fields of a primary key."""
    pk: Any = model._meta.pk
    return tuple(getattr(pk, "fields", [pk]))


def spell(field: Any, value: Any) -> str:
    """A value of ``field`` as text."""
    return spelling_of(field).spell(_target(field), value)


def parse(field: Any, text: str) -> Any:
    """The value of ``field`` that ``text`` stands for; raises what the field's ``to_python()`` raises."""
    return spelling_of(field).parse(_target(field), text)


def quote(name: str) -> str:
    """``name`` as a Postgres identifier. Names that come quoted stay so, as Django leaves them."""
    return name if name.startswith('"') and name.endswith('"') else '"{}"'.format(name.replace('"', '""'))


def spelling_of(field: Any) -> Spelling:
    """How keys of ``field`` are spelled; of a foreign key, those of the field that it points at.

    Raises:
        ConfigurationError: Values of its type have no text of their own.
    """
    return _spelling_of(_target(field))


# The relay spells every key of a batch twice, and a field's type takes longer to tell than a key to spell.
@lru_cache(maxsize=1024)
def _spelling_of(target: Any) -> Spelling:
    kind = database_type(target)
    if kind.endswith("[]") and kind.rstrip("[]") in IN_ARRAYS:
        return ARRAY
    if kind in SPELLINGS:
        return SPELLINGS[kind]
    raise ConfigurationError(
        f"{f'{target.model._meta.label}.{target.name}'!r} is of the type {target.db_type(_connection())!r}, whose"
        " values cannot serve as keys of the index: make a key of a number, a text, a UUID, a date or a time."
    )


# The relay spells and reads the key of each row five times.
@lru_cache(maxsize=1024)
def _alone(model: type[models.Model]) -> tuple[Spelling, Any] | None:
    """The spelling and the field of a key of one column; None for a composite key."""
    if isinstance(model._meta.pk, models.CompositePrimaryKey):
        return None
    field = _target(model._meta.pk)
    return _spelling_of(field), field


def _target(field: Any) -> Any:
    while field.is_relation:
        field = field.target_field
    return field


def _connection() -> Any:
    configured = getattr(settings, "PGKNOWBASE", None)
    alias = configured.get("DATABASE", "default") if isinstance(configured, dict) else "default"
    if alias in connections and connections[alias].vendor == "postgresql":
        return connections[alias]
    # Types are asked for while Django starts. A wrong alias is an error of the system checks, which come later.
    return DatabaseWrapper({}, alias)


def database_type(field: Any) -> str:
    """The name of the type without its modifiers: ``numeric`` for ``numeric(5, 2)``."""
    return re.sub(r"\([^)]*\)", "", field.db_type(_connection()) or "").strip().lower()


def _spelled(field: Any, value: Any) -> Any:
    """The expression of ``spelling_of``."""
    template = spelling_of(field).sql.replace("%", "%%").format("%(expressions)s")
    return models.Func(value, template=template, output_field=models.TextField())


def _json(parts: list[Any]) -> str:
    """JSON as Postgres prints jsonb."""
    return json.dumps(parts, ensure_ascii=False)


def _plain(field: Any, value: Any) -> str:
    return str(value)


def _uuid(field: Any, value: Any) -> str:
    return str(field.to_python(value))


def _padded(field: Any, value: Any) -> str:
    # A cast of char(n) to text drops the padding with which it is read.
    return str(value).rstrip(" ")


def _number(field: Any, value: Any) -> str:
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    places = getattr(field, "decimal_places", None)
    if places is not None and number.is_finite():
        number = number.quantize(Decimal(1).scaleb(-places))
    return f"{number:f}"


def _boolean(field: Any, value: Any) -> str:
    return "true" if value else "false"


def _parse_boolean(field: Any, text: str) -> Any:
    return field.to_python({"true": "True", "false": "False"}.get(text, text))


def _date(field: Any, value: Any) -> str:
    return str((value if isinstance(value, date) else field.to_python(value)).isoformat())


def _moment(field: Any, value: Any) -> str:
    moment: datetime = value if isinstance(value, datetime) else field.to_python(value)
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _parse_moment(field: Any, text: str) -> Any:
    moment = field.to_python(text)
    # Without USE_TZ Django reads naive values in the zone of the connection.
    if not settings.USE_TZ and isinstance(moment, datetime) and timezone.is_aware(moment):
        return timezone.make_naive(moment)
    return moment


def _time(field: Any, value: Any) -> str:
    return (value if isinstance(value, time) else field.to_python(value)).isoformat(timespec="microseconds")


def _interval(field: Any, value: Any) -> str:
    span = value if isinstance(value, timedelta) else field.to_python(value)
    return str(span // timedelta(microseconds=1))


def _parse_interval(field: Any, text: str) -> Any:
    if text.lstrip("-").isdigit():
        return timedelta(microseconds=int(text))
    span = parse_duration(text)
    if span is None:
        raise ValueError(text)
    return span


def _float(field: Any, value: Any) -> str:
    # Zero has two signs, which are equal.
    return struct.pack(">d", float(value) + 0.0).hex()


def _parse_float(field: Any, text: str) -> Any:
    if len(text) == 16 and not set(text) - set("0123456789abcdef"):
        return struct.unpack(">d", bytes.fromhex(text))[0]
    return float(text)


def _bytes(field: Any, value: Any) -> str:
    return bytes(value).hex()


def _parse_bytes(field: Any, text: str) -> Any:
    return bytes.fromhex(text)


def _address(field: Any, value: Any) -> str:
    """As Postgres prints it: an IPv6 address that embeds an IPv4 address ends with its dotted form."""
    text, _, mask = str(value).partition("/")
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return _masked(str(address), mask, 32)
    words, tail = address.packed[:12], address.packed[12:]
    is_compatible = words == bytes(12) and tail[:2] != bytes(2)
    if is_compatible or words == bytes(10) + b"\xff\xff":
        return _masked(f"::{'' if is_compatible else 'ffff:'}{'.'.join(map(str, tail))}", mask, 128)
    return _masked(str(ipaddress.IPv6Address(int(address))), mask, 128)


def _parse_address(field: Any, text: str) -> Any:
    # One with a mask, which Postgres stores, Django can neither look up nor save.
    return str(ipaddress.ip_address(text))


def _masked(text: str, mask: str, full: int) -> str:
    return text if mask in ("", str(full)) else f"{text}/{mask}"


def _array(field: Any, value: Any) -> str:
    while (element := getattr(field, "base_field", None)) is not None:
        field = element
    return _json(list(_elements(field, value)))


def _elements(field: Any, values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if value is None or isinstance(value, bool | int):
            yield value
        elif isinstance(value, list | tuple):
            yield list(_elements(field, value))
        else:
            yield spell(field, value)


def _parse_array(field: Any, text: str) -> Any:
    values = json.loads(text)
    if not isinstance(values, list):
        raise ValueError(text)
    return [value if value is None else field.base_field.to_python(value) for value in values]


PLAIN = Spelling("{}::text", _plain)
# A month of an interval counts 30 days and a year 365, as psycopg reads them.
INTERVAL = (
    "((((extract(year FROM {0}) * 365 + extract(month FROM {0}) * 30 + extract(day FROM {0})) * 24"
    " + extract(hour FROM {0})) * 60 + extract(minute FROM {0})) * 60000000"
    " + extract(microseconds FROM {0}))::bigint::text"
)
FLOAT = Spelling("encode(float8send({}::float8 + 0), 'hex')", _float, _parse_float)
SPELLINGS = {
    **dict.fromkeys(("smallint", "integer", "bigint", "smallserial", "serial", "bigserial"), PLAIN),
    **dict.fromkeys(("text", "varchar", "character varying", "citext"), PLAIN),
    "uuid": Spelling("{}::text", _uuid),
    **dict.fromkeys(("char", "character", "bpchar"), Spelling("{}::text", _padded)),
    **dict.fromkeys(("numeric", "decimal"), Spelling("{}::text", _number)),
    "boolean": Spelling("{}::text", _boolean, _parse_boolean),
    "date": Spelling("to_jsonb({}) #>> '{{}}'", _date),
    "timestamp with time zone": Spelling(
        "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", _moment, _parse_moment
    ),
    "time": Spelling("to_char({}, 'HH24:MI:SS.US')", _time),
    "interval": Spelling(INTERVAL, _interval, _parse_interval),
    "double precision": FLOAT,
    "real": FLOAT,
    "inet": Spelling("abbrev({})", _address, _parse_address),
    "bytea": Spelling("encode({}, 'hex')", _bytes, _parse_bytes),
}
# The JSON of these elements is the same in every session.
IN_ARRAYS = {"smallint", "integer", "bigint", "text", "varchar", "character varying", "uuid", "boolean", "date"}
ARRAY = Spelling("to_jsonb({})::text", _array, _parse_array)
