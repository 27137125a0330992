"""One run of a reaction: calling its function for one row, and what came of it."""

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

from pgknowbase.capture.tracing import trace_of_delivery
from pgknowbase.conf import get_settings
from pgknowbase.core.backoff import exponential_backoff
from pgknowbase.core.keys import parse_key
from pgknowbase.core.routing import reads_from
from pgknowbase.core.telemetry import span
from pgknowbase.core.text import to_storable
from pgknowbase.errors import PgKnowbaseError, ReactionCancelledError, ReactionTimeoutError, TryLaterError
from pgknowbase.reactions.chain import marked, parse_chain
from pgknowbase.reactions.change import OPS, Change
from pgknowbase.reactions.deadline import deadline
from pgknowbase.reactions.registry import Reaction

MAX_ERROR_CHARACTERS = 10_000
# Seconds in which a coroutine that was cancelled may still record that it was.
CANCEL_GRACE = 5.0


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that this worker has claimed. ``started_at`` is the token with which its outcome is recorded."""

    id: int
    reaction: str
    object_key: str
    op: str
    chain: str
    idempotency_key: UUID
    attempts: int
    error: str
    created_at: datetime
    started_at: str


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its ``state``, the ``error``, and ``delay`` seconds until another attempt.

    States: ``done``, ``skipped`` (nothing to react to), ``cancelled``, ``dead`` (a dead letter), ``retry`` and, without
    counting as an attempt, ``postpone``.
    """

    state: str
    error: str = ""
    delay: float = 0


def run_delivery(claimed: ClaimedDelivery, reaction: Reaction, using: str) -> Outcome:
    """Call the function for the row as it is now. What it raises is in the outcome, and never ends the worker.

    Args:
        using: the alias of the database of rows and deliveries.
    """
    settings = get_settings().reactions
    max_attempts = reaction.max_attempts or settings.retry.max_attempts
    if claimed.attempts > max_attempts:  # the worker died in each of them, so the function may be what kills it
        return Outcome("dead", claimed.error)
    attributes = {
        "pgknowbase.reaction": reaction.name,
        "pgknowbase.reaction.attempt": claimed.attempts,
        "pgknowbase.source": reaction.model._meta.label,
    }
    try:
        with span(f"pgknowbase.reaction {reaction.name}", attributes) as told:
            if told.is_recording:
                told.link(trace_of_delivery(using, claimed.id))
            return Outcome("done" if _call(claimed, reaction, using) else "skipped")
    except TryLaterError as error:
        return Outcome("postpone", _describe(error), settings.retry.max_delay if error.delay is None else error.delay)
    except ReactionCancelledError as error:
        return Outcome("cancelled", _describe(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad row never stops the others
        text = _describe(error)
    if claimed.attempts >= max_attempts:
        return Outcome("dead", text)
    delay = exponential_backoff(claimed.attempts, delay=settings.retry.delay, max_delay=settings.retry.max_delay)
    return Outcome("retry", text, delay)


def _call(claimed: ClaimedDelivery, reaction: Reaction, using: str) -> bool:
    """Call the function; False where the row is gone or does not pass the condition any more."""
    chain = parse_chain(claimed.chain)
    timeout = reaction.timeout or get_settings().reactions.timeout
    # Inside a caller's transaction, such as a test's, a failed statement must not abort the rest.
    inside = connections[using].in_atomic_block
    with transaction.atomic(using=using) if inside else nullcontext(), reads_from(using):
        change = _change(claimed, reaction, using, len(chain))
        if change is None:
            return False
        with marked((*chain, (reaction.name, claimed.object_key)), using):
            with deadline(timeout):
                result = reaction.call(change)
            if inspect.isawaitable(result):
                with deadline(timeout + CANCEL_GRACE):
                    async_to_sync(_await_result)(result, timeout)
    return True


def _change(claimed: ClaimedDelivery, reaction: Reaction, using: str, depth: int) -> Change | None:
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


async def _await_result(result: Awaitable[Any], timeout: float) -> Any:
    try:
        return await asyncio.wait_for(result, timeout)
    except TimeoutError as error:
        raise ReactionTimeoutError from error


def _describe(error: BaseException) -> str:
    """The error, and where it was raised, unless it is one of ours."""
    line = f"{type(error).__name__}: {error}"
    where = "" if isinstance(error, PgKnowbaseError) else "".join(traceback.format_exception(error))
    return to_storable(f"{line}\n\n{where}".strip()[:MAX_ERROR_CHARACTERS])
