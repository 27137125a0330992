"""How many streams each caller has open: a stream is bounded before it begins. Needs no django-ninja."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse

from pgknowbase.api.problems import Problem
from pgknowbase.api.throttling import client_address
from pgknowbase.conf import get_settings


class OpenStreams:
    """How many streams each caller has open in this process. Each holds a connection, a thread or task, and a run."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: Counter[str] = Counter()

    def open(self, request: HttpRequest) -> "OpenStream":
        """Count one more stream of the request's user, or of its address.

        Raises:
            Problem: 429, the caller has MAX_STREAMS open.
        """
        user = getattr(getattr(request, "auth", None), "user", None)
        caller = f"address:{client_address(request)}" if user is None else f"user:{user.pk}"
        most = get_settings().api.max_streams
        with self._lock:
            if self._open[caller] >= most:
                raise Problem(429, "streams", f"You have {most} streams open, the most allowed: close one first.")
            self._open[caller] += 1
        return OpenStream(self, caller)

    def close(self, caller: str) -> None:
        """Count one stream less."""
        with self._lock:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


@dataclass
class OpenStream:
    """One open stream, which is counted until ``close`` is called first."""

    streams: OpenStreams
    caller: str
    _closed: bool = field(default=False, init=False)

    def close(self) -> None:
        """End it; further calls do nothing."""
        if not self._closed:
            self._closed = True
            self.streams.close(self.caller)

    def __del__(self) -> None:
        # A response that a middleware has replaced is neither read nor closed.
        self.close()


class CountedResponse(StreamingHttpResponse):
    """A response whose stream is counted until the response is closed, also where nobody has read from it."""

    stream: OpenStream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # When a client goes, Django closes this generator alone, and then waits for the thread of the request. The
        # generator behind it must end too, for its work may hold that thread.
        parts: Any = self._iterator if self.is_async else super().__aiter__()  # type: ignore[attr-defined]
        async with aclosing(parts):
            async for part in parts:
                yield part

    def close(self) -> None:
        """End the response."""
        self.stream.close()
        super().close()


open_streams = OpenStreams()
