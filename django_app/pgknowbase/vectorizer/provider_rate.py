"""The rate of a provider's model, which all workers share: how much of a batch may be sent now, and when more may be.

Requests, texts and tokens of a minute come from the settings, else from the headers of the provider's answers. What is
left of them stands in one row per provider and model. A batch takes from it by one statement before its calls, and
corrects after them what was counted on. A provider without limits costs one look-up a batch.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.costs.calls import CHARACTERS_PER_TOKEN, Call, estimate_tokens
from pgknowbase.embeddings.base import BatchLimits, Embedder, split_batches
from pgknowbase.embeddings.rate_headers import ReportedRate

# A call has at most this share of a minute's tokens: one that is larger than what is left waits for it alone.
CALLS_PER_MINUTE = 20


@dataclass(frozen=True, slots=True)
class _Amount:
    """Requests, texts and tokens."""

    requests: float = 0.0
    texts: float = 0.0
    tokens: float = 0.0

    def as_list(self) -> list[float]:
        return [float(self.requests), float(self.texts), float(self.tokens)]

    def minus(self, other: "_Amount") -> "_Amount":
        return _Amount(self.requests - other.requests, self.texts - other.texts, self.tokens - other.tokens)


class ProviderRate:
    """The share of one executor in what its provider's model may be sent.

    Args:
        embedding: the entry of EMBEDDINGS, which may have limits.

    >>> rate = ProviderRate("default", "default")
    >>> sent = texts[: rate.take(embedder, texts, limits, background=False)]
    >>> rate.note(call)  # of each call, from any thread
    >>> rate.correct(embedder)
    """

    def __init__(self, using: str, embedding: str) -> None:
        self.using = using
        self.embedding = embedding
        # By whether it is a backfill: until when nothing of it is leased.
        self._closed_until = {False: 0.0, True: 0.0}
        self._per_minute: list[float | None] = [None, None, None]
        self._granted = _Amount()
        self._calls: list[Call] = []
        # What this process has learnt of the model's tokens, which begins with a usual share.
        self._characters, self._tokens = float(CHARACTERS_PER_TOKEN), 1.0

    @property
    def is_limited(self) -> bool:
        """Whether limits are known, as far as the last batch has seen."""
        return any(self._per_minute)

    def seconds_closed(self, *, backfill: bool) -> float:
        """For how long no document of this kind is to be leased."""
        return max(0.0, self._closed_until[backfill] - time.monotonic())

    def limits(self, limits: BatchLimits) -> BatchLimits:
        """The largest call that the rate leaves room for, at most ``limits``."""
        requests, texts, tokens = self._per_minute
        most_texts = self._largest(texts, requests)
        most_tokens = self._largest(tokens, requests)
        if most_texts is not None:
            limits = replace(limits, max_texts=max(1, min(limits.max_texts, int(most_texts))))
        if most_tokens is not None:
            characters = int(most_tokens * self._characters / self._tokens)
            limits = replace(limits, max_characters=max(1, min(limits.max_characters, characters)))
        return limits

    def take(self, embedder: Embedder, texts: Sequence[str], limits: BatchLimits, *, background: bool) -> int:
        """How many of the texts, from the first one on, may be sent now in calls of ``limits``; 0 for none.

        Args:
            background: fresh writes may have what is left; see the SQL function.
        """
        if not embedder.provider or not texts:
            return len(texts)
        if self._calls:  # the question for the model, whose answer may have said the limits
            self.correct(embedder)
        groups = list(split_batches(texts, limits))
        wanted = _Amount(len(groups), len(texts), self._count(texts))
        ((granted, seconds, self._per_minute),) = gateway.fetch(
            self.using,
            "rate_take",
            provider=embedder.provider,
            model=embedder.model,
            wanted=wanted.as_list(),
            limits=self._own_limits(),
            background=background,
        )
        if seconds > 0:
            until = time.monotonic() + seconds
            self._closed_until[True] = max(self._closed_until[True], until)
            if not background:
                self._closed_until[False] = max(self._closed_until[False], until)
        if granted is None:
            return 0
        self._granted = _Amount(*granted)
        return self._fitting(groups)

    def note(self, call: Call) -> None:
        """Take note of a call, from any thread."""
        self._calls.append(call)

    def correct(self, embedder: Embedder) -> None:
        """Tell the others what the calls have used and what the provider has said since the last time."""
        calls, self._calls = self._calls, []
        granted, self._granted = self._granted, _Amount()
        reported = [call.rate for call in calls if call.rate is not None]
        if not embedder.provider or not (self.is_limited or reported):
            return
        used = _Amount(len(calls), sum(len(call.texts) for call in calls), sum(map(self._used_tokens, calls)))
        last = reported[-1] if reported else ReportedRate()
        gateway.fetch(
            self.using,
            "rate_correct",
            provider=embedder.provider,
            model=embedder.model,
            given=granted.minus(used).as_list(),
            reported=[last.requests, last.tokens],
            remaining=[
                _least(rate.remaining_requests for rate in reported),
                _least(rate.remaining_tokens for rate in reported),
            ],
            throttled=any(call.throttled for call in calls),
        )

    def _own_limits(self) -> list[float | None]:
        entry = get_settings().embeddings.get(self.embedding)
        if entry is None:
            return [None, None, None]
        return [entry.requests_per_minute, entry.texts_per_minute, entry.tokens_per_minute]

    def _largest(self, of_minute: float | None, requests: float | None) -> float | None:
        """What one call may have: a share of the minute, but enough that all requests together use all of it."""
        if of_minute is None:
            return None
        return max(of_minute / CALLS_PER_MINUTE, of_minute / requests if requests else 0.0)

    def _fitting(self, groups: Sequence[Sequence[str]]) -> int:
        """Texts at the front of the calls that fit into what was granted; at least one."""
        fitting, tokens = 0, self._granted.tokens
        for text in (text for group in groups[: int(self._granted.requests)] for text in group):
            tokens -= self._count([text])
            if fitting and (tokens < 0 or fitting >= self._granted.texts):
                break
            fitting += 1
        return fitting

    def _count(self, texts: Sequence[str]) -> float:
        return sum(max(1.0, len(text) * self._tokens / self._characters) for text in texts)

    def _used_tokens(self, call: Call) -> float:
        if call.failed:  # whether it was counted, nobody knows
            return max(call.billed_tokens, estimate_tokens(call.texts))
        if not call.estimated_tokens:
            self._characters += call.characters
            self._tokens += call.billed_tokens
        return float(call.billed_tokens)


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)
