"""Running a reranker for a search: within its time, from the cache where that suffices, and never to the search's harm.

A search that gets no scores keeps the order of its first stage, and says so. It waits in its own thread while another
one calls the reranker, so that neither a server nor a resolver of names can hold it for longer.
"""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

from pgknowbase.conf import RerankerSettings, get_settings
from pgknowbase.core.cancelling import told_of_cancelling
from pgknowbase.core.telemetry import span
from pgknowbase.costs.calls import Call, UsageKind
from pgknowbase.costs.ledger import query_usage
from pgknowbase.errors import ConfigurationError, LateRerankError, PgKnowbaseError, RerankError
from pgknowbase.rerank.base import Deadline, Reranker, Scores
from pgknowbase.rerank.factory import get_reranker

logger = logging.getLogger("pgknowbase.rerank")

RerankState: TypeAlias = Literal["done", "late", "failed"]
# Calls at the same time; further ones wait, and their time runs meanwhile.
MAX_CALLS = 16
# A pair takes about 150 bytes.
CACHED_PAIRS = 50_000
# After so many failures in a row, or an answer that says so, nothing is asked for a while.
MOST_FAILURES = 3
PAUSE = 10.0
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a second stage.

    Attributes:
        name: its entry of ``RERANKERS``.
        state: ``done``; or ``late`` or ``failed``, and there are no scores.
        provider: the host of its server; '' for this process.
        scores: of the texts, in their order.
        reason: why there are none.
        seconds: that it took.
    """

    name: str
    model: str
    provider: str
    state: RerankState
    scores: tuple[float, ...] = ()
    reason: str = ""
    seconds: float = 0.0


def rerank(name: str, query: str, texts: Sequence[str]) -> Outcome:
    """Score ``texts`` by an entry of ``RERANKERS``. A search is answered whatever becomes of this, but for one end.

    Raises:
        OperationalError: nobody waits for the search any more.
    """
    entry = get_settings().rerankers[name]
    with span(
        f"rerank {entry.model}",
        {
            "gen_ai.operation.name": "rerank",
            "gen_ai.request.model": entry.model,
            "pgknowbase.rerank.texts": len(texts),
        },
    ) as told:
        outcome = _outcome(name, entry, query, texts)
        told.set({"pgknowbase.rerank.state": outcome.state, "server.address": outcome.provider or None})
    if outcome.state != "done":
        logger.warning("the second stage %r left the order of the first: %s", name, outcome.reason)
    return outcome


def _outcome(name: str, entry: RerankerSettings, query: str, texts: Sequence[str]) -> Outcome:
    started, deadline, provider = time.monotonic(), Deadline.after(entry.timeout), ""

    def outcome(state: RerankState, scores: tuple[float, ...] = (), reason: str = "") -> Outcome:
        return Outcome(name, entry.model, provider, state, scores, reason, time.monotonic() - started)

    try:
        _health.check(name)
        reranker = get_reranker(name)
        provider = reranker.provider
        scores = _bounded(reranker, query, texts, deadline)
    except (RerankError, ConfigurationError) as error:
        _health.failed(name, error)
        return outcome("late" if isinstance(error, LateRerankError) else "failed", reason=str(error))
    _health.succeeded(name)
    return outcome("done", scores)


def _scores(reranker: Reranker, query: str, texts: Sequence[str], deadline: Deadline) -> tuple[float, ...]:
    keys = [_key(reranker, query, text) for text in texts]
    known = _cache.read(keys)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        found = _in_batches(reranker, query, list(missing.values()), deadline)
        fresh = dict(zip(missing, found, strict=True))
        _cache.write(fresh)
        known |= fresh
    return tuple(known[key] for key in keys)


def _bounded(reranker: Reranker, query: str, texts: Sequence[str], deadline: Deadline) -> tuple[float, ...]:
    """The scores, from another thread, for as long as there is time and anybody waits."""
    if not texts:
        return ()
    done = threading.Event()
    # What belongs to this thread, such as the database of a tenant, belongs to the call.
    context = copy_context()
    call: Future[tuple[float, ...]] = _pool().submit(context.run, _scores, reranker, query, texts, deadline)
    call.add_done_callback(lambda _: done.set())
    try:
        with told_of_cancelling(done.set):
            done.wait(deadline.seconds_left)
        if not call.done():
            deadline.check()
            raise LateRerankError("The second stage took longer than its TIMEOUT: raise it, or lower CANDIDATES.")
    finally:
        deadline.given_up.set()
        call.cancel()
    return call.result()


def _in_batches(reranker: Reranker, query: str, texts: Sequence[str], deadline: Deadline) -> list[float]:
    scores: list[float] = []
    for start in range(0, len(texts), reranker.max_texts):
        deadline.check()
        scores += _measured(reranker, query, texts[start : start + reranker.max_texts], deadline).scores
    return scores


def _measured(reranker: Reranker, query: str, texts: Sequence[str], deadline: Deadline) -> Scores:
    """One call, which the ledger gets to know of. It bills the query with each text, since a model reads them so."""
    began, read = time.monotonic(), [f"{query} {text}" for text in texts]
    found: Scores | None = None
    try:
        found = reranker.score(query, texts, deadline)
    except (RerankError, ConfigurationError):
        raise
    except Exception as error:  # a backend of somebody else's
        logger.exception("the reranker %r raised what it should not", reranker.model)
        raise RerankError(f"The reranker {reranker.model!r} failed ({type(error).__name__}): see the log.") from error
    finally:
        tokens = None if found is None else found.total_tokens
        call = Call(read, total_tokens=tokens, failed=found is None, seconds=time.monotonic() - began)
        query_usage.add(reranker, call, UsageKind.RERANK)
    return found


class _Cache:
    """The latest scores, by digest: no text stays here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scores: OrderedDict[bytes, float] = OrderedDict()

    def read(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        with self._lock:
            found = {key: self._scores[key] for key in keys if key in self._scores}
            for key in found:
                self._scores.move_to_end(key)
        return found

    def write(self, scores: dict[bytes, float]) -> None:
        with self._lock:
            self._scores.update(scores)
            while len(self._scores) > CACHED_PAIRS:
                self._scores.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._scores.clear()


class _Health:
    """Which rerankers are left alone, because they have failed again and again."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._paused_until: dict[str, float] = {}

    def check(self, name: str) -> None:
        left = self._paused_until.get(name, 0.0) - time.monotonic()
        if left > 0:
            raise RerankError(f"The reranker {name!r} has failed lately: it is asked again in {left:.0f} s.")

    def succeeded(self, name: str) -> None:
        self._failures.pop(name, None)

    def failed(self, name: str, error: PgKnowbaseError) -> None:
        if self._paused_until.get(name, 0.0) > time.monotonic():
            return
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        pause = min(getattr(error, "retry_after", None) or 0.0, LONGEST_PAUSE)
        if failures >= MOST_FAILURES:
            pause = max(pause, PAUSE)
        if pause:
            self._paused_until[name] = time.monotonic() + pause

    def clear(self) -> None:
        self._failures.clear()
        self._paused_until.clear()


def _key(reranker: Reranker, query: str, text: str) -> bytes:
    parts = (part.encode(errors="surrogatepass") for part in (reranker.fingerprint, query, text))
    return blake2b(b"\0".join(parts), digest_size=16).digest()


_cache = _Cache()
_health = _Health()
_threads: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    global _threads
    with _lock:
        if _threads is None:
            _threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="pgknowbase-rerank")
        return _threads


def forget() -> None:
    """Drop cached scores and pauses."""
    _cache.clear()
    _health.clear()


def _forget_threads() -> None:
    global _threads, _lock, _cache
    _threads, _lock, _cache = None, threading.Lock(), _Cache()


os.register_at_fork(after_in_child=_forget_threads)
