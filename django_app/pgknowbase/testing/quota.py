"""The limits of a provider for tests: requests and tokens of a minute, with the headers that OpenAI sends."""

import threading
import time
from dataclasses import dataclass


@dataclass
class _Bucket:
    per_minute: float
    most: float
    left: float
    filled_at: float

    def fill(self, now: float) -> None:
        self.left = min(self.most, self.left + (now - self.filled_at) * self.per_minute / 60)
        self.filled_at = now

    def seconds_until(self, amount: float) -> float:
        return max(0.0, (min(amount, self.most) - self.left) * 60 / self.per_minute)


class Quota:
    """Buckets that fill steadily and hold a minute's worth, as OpenAI's do. A call beyond them is answered 429.

    Args:
        requests_per_minute, tokens_per_minute: OpenAI's for text-embedding-3-small in tier 1 are 3,000 and 1,000,000.
        bucket_seconds: what a bucket holds: a stricter provider allows no minute at once.
        has_headers: whether answers say what the limits are and what is left.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float,
        tokens_per_minute: float,
        bucket_seconds: float = 60.0,
        has_headers: bool = True,
    ) -> None:
        self.has_headers = has_headers
        self.throttled = 0
        now = time.monotonic()
        self._buckets = {
            unit: _Bucket(limit, limit * bucket_seconds / 60, limit * bucket_seconds / 60, now)
            for unit, limit in (("requests", requests_per_minute), ("tokens", tokens_per_minute))
        }
        self._lock = threading.Lock()

    def take(self, tokens: int) -> tuple[bool, dict[str, str]]:
        """Whether a call of so many tokens is allowed now, and the headers of its answer."""
        with self._lock:
            now = time.monotonic()
            wanted = {"requests": 1.0, "tokens": float(tokens)}
            for bucket in self._buckets.values():
                bucket.fill(now)
            seconds = max(self._buckets[unit].seconds_until(amount) for unit, amount in wanted.items())
            is_allowed = all(self._buckets[unit].left >= amount for unit, amount in wanted.items())
            for unit, amount in wanted.items():
                self._buckets[unit].left -= amount if is_allowed else 0.0
            self.throttled += not is_allowed
            headers = self._headers() if self.has_headers else {}
        if not is_allowed:
            headers |= {"retry-after-ms": f"{1000 * seconds:.0f}", "retry-after": f"{seconds:.0f}"}
        return is_allowed, headers

    def _headers(self) -> dict[str, str]:
        headers = {}
        for unit, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{unit}"] = f"{bucket.per_minute:.0f}"
            headers[f"x-ratelimit-remaining-{unit}"] = f"{max(bucket.left, 0):.0f}"
            headers[f"x-ratelimit-reset-{unit}"] = f"{1000 * bucket.seconds_until(bucket.most):.0f}ms"
        return headers
