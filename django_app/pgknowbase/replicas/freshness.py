"""What a search must see: finding a server that has it, and what is done where none has."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache, partial
from itertools import count
from typing import Any, Literal, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connections

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.server_limits import exceeded_limit
from pgknowbase.errors import ConfigurationError, FreshnessError, NotYetFreshError
from pgknowbase.replicas import servers
from pgknowbase.replicas.servers import Position
from pgknowbase.replicas.tokens import FreshnessToken, WrittenObject, lsn_text
from pgknowbase.sources.registry import Source, source_by_label

IfStale = Literal["primary", "pending", "error"]
# What an answer is: it has what the token says; or not yet; or the primary was replaced since, and it has what is left.
State = Literal["fresh", "pending", "promoted"]
Answer = TypeVar("Answer")
# The longest wait that a caller can ask for, in seconds.
MAX_TIMEOUT = 30.0
# Seconds between two looks at what a replica has replayed.
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02
WAITS_FOR_LSN = 190_000  # the first version of Postgres with WAIT FOR LSN
# Seconds that one statement waits on the only replica that can come to have the position. Then all are looked at again:
# one that did not answer may have come back.
LONGEST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a search must see.

    Attributes:
        token: everything up to its position, and its objects.
        timeout: seconds to wait for a replica, and for the index, together.
        if_stale: what is done after them: ``primary`` asks the primary, ``pending`` answers and says so, ``error``
            raises. Where the primary's index does not have it either, ``primary`` answers and says so too.
    """

    token: FreshnessToken
    timeout: float
    if_stale: IfStale

    @classmethod
    def of(
        cls, token: str | FreshnessToken | None, timeout: float | None, if_stale: IfStale | None
    ) -> "Freshness | None":
        """What these options ask for, with the defaults of ``FRESHNESS``; None without a token.

        Raises:
            FreshnessError: the token is not one.
        """
        if token is None:
            return None
        defaults = get_settings().freshness
        return cls(
            FreshnessToken.parse(token),
            defaults.timeout if timeout is None else float(timeout),
            if_stale or defaults.if_stale,
        )


class _Has(Enum):
    """Whether a server has what the token says."""

    YES = "yes"
    NOT_YET = "not yet"
    CANNOT_TELL = "cannot tell"


class FreshServer:
    """The search for a server that has what a token says.

    Args:
        database: the alias of the primary.
        freshness: the token, and how long to wait.

    Attributes:
        state: what the answer of the chosen server is; None before one is chosen.
    """

    def __init__(self, database: str, freshness: Freshness) -> None:
        self.database, self.freshness = database, freshness
        self.state: State | None = None
        self._token = freshness.token
        self._is_promoted = False

    def choose(self, replicas: list[str]) -> str:
        """The alias of a server that has what the token says, else what ``if_stale`` says.

        Args:
            replicas: may be asked beside the primary, the first one first.

        Raises:
            FreshnessError: the token is of another cluster, or of the future.
            NotYetFreshError: no server has what the token says, and ``if_stale`` is ``error``.
        """
        freshness = self.freshness
        end = time.monotonic() + freshness.timeout
        pauses = _pauses()
        indexed_by: str | None = None  # a server that has replayed the write, and whose index has not
        while replicas:
            indexed_by, hopeless = None, True
            behind: list[str] = []
            for alias in filter(servers.is_up, replicas):
                has = _unless_it_fails(alias, partial(self._has, alias), _Has.CANNOT_TELL)
                hopeless = hopeless and has is _Has.CANNOT_TELL
                if has is _Has.NOT_YET:
                    behind.append(alias)
                if has is _Has.YES:
                    indexed = _unless_it_fails(alias, partial(self._is_indexed, alias), None)
                    if indexed:
                        return self._answers(alias)
                    indexed_by = alias if indexed is False else None
                    break
            left = end - time.monotonic()
            if left <= 0 or hopeless:
                break
            number, pause = next(pauses)
            if indexed_by is not None or not behind:
                time.sleep(min(pause, left))
                continue
            # The others may have it sooner than the one that is waited for: each has its turn, and no long one.
            alias = behind[number % len(behind)]
            longest = LONGEST_WAIT if len(behind) == 1 else pause
            _unless_it_fails(alias, partial(self._wait, alias, min(pause, left), min(longest, left)), None)
        return self._after_the_wait(replicas, indexed_by, end)

    def _after_the_wait(self, replicas: list[str], indexed_by: str | None, end: float) -> str:
        freshness = self.freshness
        # A token of another cluster or of the future is never replayed: that is for the primary to say.
        is_primary_asked = freshness.if_stale == "primary" or not replicas
        if (is_primary_asked or indexed_by is None) and self._ask_primary() and is_primary_asked:
            while not (indexed := self._is_indexed(self.database)) and time.monotonic() < end:
                time.sleep(LONGEST_PAUSE)
            if indexed:
                return self._answers(self.database)
            indexed_by = self.database
        if freshness.if_stale == "error":
            raise NotYetFreshError(
                f"What was written up to {lsn_text(freshness.token.lsn)} is not"
                f" {'indexed' if indexed_by else 'on any server that answers'} after {freshness.timeout:g} s: search"
                " again later, with a longer fresh_timeout, or with if_stale='pending'."
            )
        self.state = "pending"
        return indexed_by or next(filter(servers.is_up, replicas), self.database)

    def _answers(self, alias: str) -> str:
        self.state = "promoted" if self._is_promoted else "fresh"
        return alias

    def _has(self, alias: str) -> _Has:
        """Whether this server has replayed the position of the token."""
        token = self._token
        self._check_snapshot(alias)
        found = servers.position(alias)
        if found.system != token.system:
            raise _other_cluster(alias, found, token)
        if found.lsn is None:
            return _Has.CANNOT_TELL  # it reads the primary's own files, as Aurora's do, and replays nothing
        if found.standby and found.timeline == token.timeline:
            return _Has.YES if found.lsn >= token.lsn else _Has.NOT_YET
        # The server is on another timeline, or does not say on which. The position alone then says nothing: after a
        # promotion another history goes by the same numbers.
        primary = self._ask_primary()
        token = self._token
        if primary is None:
            return _Has.CANNOT_TELL
        if found.standby and (found.timeline or found.started_on) == token.timeline == primary.timeline:
            return _Has.YES if found.lsn >= token.lsn else _Has.NOT_YET
        return _Has.CANNOT_TELL

    def _ask_primary(self) -> Position | None:
        """Check the token by the primary, and replace one of a former primary by what the present one has.

        Returns:
            The primary's position; None where it does not answer, or is a standby itself.

        Raises:
            FreshnessError: the token is of another cluster, or of the future.
        """
        token = self._token
        self._check_snapshot(self.database)
        found = _unless_it_fails(self.database, partial(servers.position, self.database), None)
        if found is None or found.standby:
            return None
        if found.system != token.system:
            raise _other_cluster(self.database, found, token)
        timeline, lsn = found.timeline or 0, found.lsn or 0
        if (timeline, lsn) < (token.timeline, token.lsn):
            raise FreshnessError(
                f"The token is of the future: its position {token.timeline}:{lsn_text(token.lsn)} is beyond what"
                f" {self.database!r} has written, {timeline}:{lsn_text(lsn)}, as after a restore from a backup."
                " Leave it out."
            )
        if timeline > token.timeline:
            # What of that write survived is a part of what the new primary has.
            self._token = replace(token, timeline=timeline, lsn=lsn)
            self._is_promoted = True
        return found

    @staticmethod
    def _check_snapshot(alias: str) -> None:
        if connections[alias].in_atomic_block and (
            (level := gateway.fetch_value(alias, "isolation_level")) != "read committed"
        ):
            raise FreshnessError(
                f"The open transaction on {alias!r} is {level!r} and sees what was there when it began, whatever is"
                " replayed since: search outside of it, or without fresh."
            )

    def _is_indexed(self, alias: str) -> bool:
        return _have_indexed(alias, self._token.objects)

    def _wait(self, alias: str, pause: float, longest: float) -> None:
        """Wait until the server may have the position: at most ``longest`` seconds, ``pause`` where it cannot say."""
        connection: Any = connections[alias]
        if connection.in_atomic_block or connection.pg_version < WAITS_FOR_LSN:
            time.sleep(pause)
            return
        try:
            gateway.wait_for_lsn(alias, lsn_text(self._token.lsn), longest)
        except OperationalError as error:
            if exceeded_limit(error) is None:
                raise
            # The role's statement_timeout is shorter than the wait. The next look says how far the server is.


def _pauses() -> Iterator[tuple[int, float]]:
    """Seconds between looks, numbered, growing."""
    pause = FIRST_PAUSE
    for number in count():
        yield number, pause
        pause = min(2 * pause, LONGEST_PAUSE)


def _unless_it_fails(alias: str, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
    """What ``ask`` returns, or ``otherwise`` where the server of ``alias`` fails, and another one is to be asked."""
    try:
        return ask()
    except (DatabaseError, InterfaceError) as error:
        if not servers.can_ask_another(alias, error):
            raise
        servers.note_failure(alias, error)
        return otherwise


def _have_indexed(alias: str, written: Sequence[WrittenObject]) -> bool:
    """Whether the objects are in the index of this server as they were written, or out of it as their hooks say."""
    if not written:
        return True
    objects = [
        {
            "source": _source(one.label).content_type_id(alias),
            "label": one.label,
            "key": one.key,
            "known": None if one.events is None else list(one.events),
        }
        for one in written
    ]
    found: bool = gateway.fetch_value(alias, "have_indexed", objects=json.dumps(objects))
    return found


@lru_cache(maxsize=256)
def _source(label: str) -> Source:
    """The source model of a token's object, cached: a search needs its label and its content type alone."""
    try:
        return source_by_label(label)
    except ConfigurationError as error:
        raise FreshnessError(
            f"The token is of an object of {label!r}, which is not indexed here: leave it out."
        ) from error


def _other_cluster(alias: str, found: Position, token: FreshnessToken) -> FreshnessError:
    return FreshnessError(
        f"The token is of another cluster than {alias!r}: of {token.system!r}, not {found.system!r}. Leave it out, or"
        " search where it was taken."
    )
