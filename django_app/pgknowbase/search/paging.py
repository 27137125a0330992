"""The order of a search by a field, and cursors: pages that neither repeat nor skip a row while rows change."""

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from pgknowbase.core import gateway
from pgknowbase.core.text import short_repr
from pgknowbase.errors import SearchError
from pgknowbase.search.filters import MAX_OFFSET, Options
from pgknowbase.search.queries import Hit
from pgknowbase.search.visibility import viewer_param

# The best hits that are put into the order of a field.
MAX_ORDERED = 1000
DEFAULT_RELEVANCE = 0.5
_SALT = "pgknowbase.search.cursor"
_DIGEST, _SIGNATURE = 16, 16  # bytes


@dataclass(frozen=True)
class Paging:
    """Which of its hits a search returns, and in which order.

    A cursor holds the ids of the rows that the pages before have shown, so the next page has the best of the others. A
    place in the ranking would not do: scores change with each document that comes or goes.

    Args:
        query: what is searched for.
        options: of them the cursor, the order and its bound, and for the fingerprint the others.
        labels: the source models that are searched; none: all.

    Raises:
        SearchError: the cursor was not made by this project, or for another search.
    """

    query: object
    options: Options
    labels: Sequence[str]
    seen: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        cursor = self.options.cursor
        object.__setattr__(self, "seen", frozenset(_read(cursor, self.fingerprint)) if cursor else frozenset())

    @cached_property
    def fingerprint(self) -> bytes:
        """A digest of all that makes the search another one, but its pages."""
        options = self.options
        parts = [
            *(repr(self.query), sorted(self.labels), viewer_param(options.visible_to)),
            *(options.threshold, options.metadata, options.changed_from, options.changed_before),
            None if options.tags is None else sorted(options.tags),
            *(options.order_by, options.min_relevance, options.correct_typos, options.rerank),
        ]
        text = json.dumps(parts, sort_keys=True, default=repr)
        return sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]

    @property
    def is_plain(self) -> bool:
        """Whether this is the first page in the order of the scores."""
        return not self.seen and self.options.order_by is None

    def needed(self, limit: int, offset: int) -> int:
        """How many of the best hits a page is chosen from."""
        return MAX_ORDERED if self.options.order_by else offset + limit + len(self.seen)

    def page(self, using: str, best: list[Hit], limit: int, offset: int) -> list[Hit]:
        """The page among the ``best`` hits."""
        found, order_by, relevance = best, self.options.order_by, self.options.min_relevance
        if order_by and best:
            top = best[0].score or 0.0
            # A share of a similarity below 0 would be above it.
            least = top - (1 - (DEFAULT_RELEVANCE if relevance is None else relevance)) * abs(top)
            relevant = {hit.external_data_id: hit for hit in best if hit.score is not None and hit.score >= least}
            rows = gateway.fetch(using, "order", ids=list(relevant), order_by=order_by)
            found = [relevant[key] for key, _ in sorted(rows, key=lambda row: row[1])]
        return [hit for hit in found if hit.external_data_id not in self.seen][offset : offset + limit]

    def cursor_after(self, shown: Iterable[int]) -> str | None:
        """The cursor of the page behind one that has ``shown`` these; None where it would lie too deep."""
        seen = sorted(self.seen | set(shown))
        if len(seen) > MAX_OFFSET:
            return None
        payload = self.fingerprint + zlib.compress(_packed(seen), 9)
        return urlsafe_b64encode(payload + _signature(payload, settings.SECRET_KEY)).decode().rstrip("=")


def _read(cursor: str, fingerprint: bytes) -> list[int]:
    try:
        whole = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        whole = b""
    payload, signature = whole[:-_SIGNATURE], whole[-_SIGNATURE:]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if not any(constant_time_compare(signature, _signature(payload, key)) for key in keys):
        raise SearchError(f"The cursor {short_repr(cursor)} was not made here: pass the one that came with a page.")
    if payload[:_DIGEST] != fingerprint:
        raise SearchError(
            f"The cursor {short_repr(cursor)} is that of another search: pass it with the query, the filters and the"
            " user of the page that it came with, or leave it out."
        )
    return _unpacked(zlib.decompress(payload[_DIGEST:]))


def _signature(payload: bytes, key: str | bytes) -> bytes:
    return salted_hmac(_SALT, payload, secret=key, algorithm="sha256").digest()[:_SIGNATURE]


def _packed(ids: Sequence[int]) -> bytes:
    """Ascending numbers as their differences, seven bits to a byte, the last one of each with its eighth bit set."""
    packed = bytearray()
    before = 0
    for each in ids:
        difference, before = each - before, each
        while difference > 127:
            packed.append(difference & 127)
            difference >>= 7
        packed.append(difference | 128)
    return bytes(packed)


def _unpacked(packed: bytes) -> list[int]:
    ids: list[int] = []
    number = shift = 0
    for byte in packed:
        number |= (byte & 127) << shift
        shift += 7
        if byte & 128:
            ids.append(number + (ids[-1] if ids else 0))
            number = shift = 0
    return ids
