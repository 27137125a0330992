"""Freshness tokens: what a search must see, as a text that a client keeps from its write to its search."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.core import signing
from django.db import connections, models

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.keys import object_key
from pgknowbase.core.routing import writer_of
from pgknowbase.core.text import short_repr
from pgknowbase.errors import FreshnessError
from pgknowbase.sources.registry import Source, source_of

# Signed, because a token makes a search wait, makes it ask the primary, and tells whether an object is indexed.
SALT = "pgknowbase.freshness"
MAX_CHARACTERS = 8000
MAX_OBJECTS = 100
# Events of an object that a token names; where there are more, a search waits for all that the object has then.
MAX_EVENTS = 20


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """A source row that a search must find as it was when the token was taken.

    Attributes:
        label: its source model.
        events: those of its changes that were not in the index yet; None: whatever it has.
    """

    label: str
    key: str
    events: tuple[int, ...] | None

    @classmethod
    def of(cls, label: str, key: str, events: Sequence[int] | None) -> Self:
        """As a token has it."""
        return cls(label, key, None if events is None else tuple(events))


@dataclass(frozen=True, slots=True)
class FreshnessToken:
    """A position in the write-ahead log of a primary, and the objects that were written.

    Attributes:
        system: the identifier of the cluster, which its replicas share.
        timeline: its timeline, which ends when a replica is promoted.
        lsn: the position, as a number of bytes.
    """

    system: str
    timeline: int
    lsn: int
    objects: tuple[WrittenObject, ...] = ()

    def __str__(self) -> str:
        """The token as text, with letters, digits, ``-``, ``_``, ``.`` and ``:``."""
        objects = [[one.label, one.key, one.events] for one in self.objects]
        return signing.dumps([self.system, self.timeline, self.lsn, objects], salt=SALT, compress=True)

    @classmethod
    def parse(cls, text: Any) -> Self:
        """The token that ``text`` is.

        Raises:
            FreshnessError: it is not one, or another project made it.
        """
        if isinstance(text, cls):
            return text
        if isinstance(text, str) and len(text) <= MAX_CHARACTERS:
            try:
                system, timeline, lsn, objects = signing.loads(text, salt=SALT)
                return cls(str(system), int(timeline), int(lsn), tuple(WrittenObject.of(*one) for one in objects))
            except (signing.BadSignature, ValueError, TypeError, zlib.error):
                pass
        raise FreshnessError(
            f"fresh {short_repr(text)} is not a freshness token of this project: pass the whole text that"
            " freshness_token() or the API gave, or leave it out."
        )


def freshness_token(*rows: models.Model, using: str | None = None) -> str:
    """A token for what this process has committed: searches with ``fresh=`` it see that, on any replica.

    >>> article.save()
    >>> token = freshness_token(article)
    >>> Article.objects.hybrid_search("gears", fresh=token)

    Args:
        rows: up to 100 source rows that were written or deleted: a search then also waits until they are indexed.
        using: the alias of the primary; by default where the rows are written, else ``PGKNOWBASE["DATABASE"]``.

    Raises:
        FreshnessError: a transaction is open, so nothing is committed yet; the database is a standby; or the rows are
            too many.
        ConfigurationError: one of the rows is not a source row.
    """
    using = using or (writer_of(rows[0]) if rows else get_settings().database)
    return str(take_token(using, [_named(row) for row in rows]))


def take_token(using: str, objects: Sequence[tuple[Source, str]]) -> FreshnessToken:
    """The same of objects by their source models and keys.

    Raises:
        FreshnessError: as ``freshness_token``.
    """
    if len(objects) > MAX_OBJECTS:
        raise FreshnessError(f"A token of {len(objects)} rows is too large: pass at most {MAX_OBJECTS}.")
    if not connections[using].get_autocommit():
        raise FreshnessError(
            f"The open transaction on {using!r} is not committed, so no replica can have it: take the token after it,"
            " such as in transaction.on_commit()."
        )
    if gateway.fetch_value(using, "is_standby"):
        raise FreshnessError(f"The database {using!r} is a standby: take the token where rows are written.")
    # The objects first: what is found of them, also that they are indexed, is then a part of what the position covers.
    written = _written(using, objects) if objects else ()
    ((system, timeline, lsn),) = gateway.fetch(using, "written_position")
    token = FreshnessToken(system, timeline, lsn_number(lsn), written)
    if len(str(token)) > MAX_CHARACTERS:
        raise FreshnessError(f"A token of these {len(objects)} rows is too long, as their keys are: pass fewer.")
    return token


def token_of_response(using: str, objects: Sequence[tuple[Source, str]]) -> str | None:
    """A token for whoever asked for a write; None inside a transaction, which may yet be rolled back."""
    return str(take_token(using, objects)) if connections[using].get_autocommit() else None


async def afreshness_token(*rows: models.Model, using: str | None = None) -> str:
    """Async twin of ``freshness_token``."""
    return await sync_to_async(freshness_token)(*rows, using=using)


def lsn_number(lsn: str) -> int:
    """A position such as ``'0/16B3748'`` as a number.

    >>> lsn_number("1/10")
    4294967312
    """
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn_text(lsn: int) -> str:
    """The position as Postgres writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def _named(row: models.Model) -> tuple[Source, str]:
    source = source_of(type(row))
    if row.pk is None:
        raise FreshnessError(f"A {source.label} without a primary key is in no table: save it first.")
    return source, object_key(source.model, row.pk)


def _written(using: str, objects: Sequence[tuple[Source, str]]) -> tuple[WrittenObject, ...]:
    named = [
        {"source": source.content_type_id(using), "label": source.label, "key": key}
        for source, key in dict.fromkeys(objects)
    ]
    found = gateway.fetch(using, "written_objects", objects=json.dumps(named))
    return tuple(
        # An event of a related row may become others, whose ids are not known yet.
        WrittenObject(label, key, None if indirect or len(events or ()) > MAX_EVENTS else tuple(events or ()))
        for label, key, events, indirect in found
    )
