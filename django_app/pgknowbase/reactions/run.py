"""One run of a reaction for one row."""

import asyncio
import inspect
import traceback
from collections.abc import Awaitable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import connections, transaction

from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError, ReactionCancelledError, TryLaterError
from pgknowbase.keys import parse_key
from pgknowbase.reactions.chain import marked, parse_chain
from pgknowbase.reactions.change import OPS, Change
from pgknowbase.reactions.deadline import ReactionTimeoutError, deadline
from pgknowbase.reactions.registry import Reaction

LONGEST_ERROR = 10_000
# A coroutine that was cancelled may write down that it was.
GRACE = 5.0


@dataclass(frozen=True)
class Claimed:
    """A delivery that this worker has taken; ``started_at`` is the token with which it is settled."""

    id: int
    reaction: str
    object_key: str
    op: str
    chain: str
    idempotency_key: UUID
    attempts: int
    error: str
    created_at: datetime
    started_at: datetime


@dataclass(frozen=True)
class Outcome:
    """What became of a run: ``done``, ``skipped``, ``cancelled``, ``dead``; again after ``delay`` seconds: ``again``,
    ``later``.
    """

    state: str
    error: str = ""
    delay: float = 0


def run(claimed: Claimed, reaction: Reaction, using: str) -> Outcome:
    """Call the function for the row as it is now; whatever it raises is in the outcome."""
    settings = get_settings().reactions
    most = reaction.max_attempts or settings.max_attempts
    if claimed.attempts > most:  # each of them ended with its worker
        return Outcome("dead", claimed.error)
    try:
        return Outcome("done" if _called(claimed, reaction, using) else "skipped")
    except TryLaterError as error:
        return Outcome("later", _told(error), settings.retry_delay_max if error.delay is None else error.delay)
    except ReactionCancelledError as error:
        return Outcome("cancelled", _told(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad row never stops the others
        text = _told(error)
    if claimed.attempts >= most:
        return Outcome("dead", text)
    delay = settings.retry_delay * 2 ** min(claimed.attempts - 1, 30)
    return Outcome("again", text, min(delay, settings.retry_delay_max))


def _called(claimed: Claimed, reaction: Reaction, using: str) -> bool:
    """False if there is nothing to react to any more: the row has gone, or does not pass the condition."""
    chain = parse_chain(claimed.chain)
    timeout = reaction.timeout or get_settings().reactions.timeout
    # Within somebody's transaction a failed statement must not spoil the rest.
    inside = connections[using].in_atomic_block
    with transaction.atomic(using=using) if inside else nullcontext():
        change = _change(claimed, reaction, using, len(chain))
        if change is None:
            return False
        with marked((*chain, (reaction.name, claimed.object_key)), using):
            with deadline(timeout):
                result = reaction.call(change)
            if inspect.isawaitable(result):
                with deadline(timeout + GRACE):
                    async_to_sync(_awaited)(result, timeout)
    return True


def _change(claimed: Claimed, reaction: Reaction, using: str, depth: int) -> Change | None:
    pk = parse_key(reaction.model, claimed.object_key)
    instance = None
    if claimed.op != "D":
        rows = reaction.model._base_manager.using(using).filter(pk=pk)
        instance = (rows if reaction.condition is None else rows.filter(reaction.condition)).first()
        if instance is None:
            return None
    return Change(
        reaction=reaction.name,
        model=reaction.model,
        pk=pk,
        object_key=claimed.object_key,
        op=OPS[claimed.op],
        instance=instance,
        idempotency_key=str(claimed.idempotency_key),
        attempt=claimed.attempts,
        depth=depth,
        changed_at=claimed.created_at,
    )


async def _awaited(result: Awaitable[Any], timeout: float) -> Any:
    try:
        return await asyncio.wait_for(result, timeout)
    except TimeoutError as error:
        raise ReactionTimeoutError from error


def _told(error: BaseException) -> str:
    """The error, and where it was raised, unless it is one of ours."""
    line = f"{type(error).__name__}: {error}"
    where = "" if isinstance(error, PgKnowbaseError) else "".join(traceback.format_exception(error))
    return f"{line}\n\n{where}".strip().replace("\0", "\N{REPLACEMENT CHARACTER}")[:LONGEST_ERROR]
