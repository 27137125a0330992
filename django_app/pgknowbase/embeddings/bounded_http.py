"""An HTTP client whose calls have a deadline and a largest answer.

The timeouts of httpx2, which ``openai`` is made of, count from byte to byte: a server that sends one now and then holds
a call for ever, and one that sends without end fills the memory.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from ssl import SSLContext

import httpx2


@dataclass(frozen=True, slots=True)
class _Bounds:
    deadline: float
    seconds: float
    max_bytes: int


_bounds: ContextVar[_Bounds] = ContextVar("bounds")


@contextmanager
def bounded(*, seconds: float, max_bytes: int) -> Iterator[None]:
    """Bound the calls that this thread makes inside the block, with a client of ``make_client``.

    They raise ``httpx2.ReadTimeout`` after ``seconds``, and ``httpx2.DecodingError`` for an answer above ``max_bytes``.
    """
    token = _bounds.set(_Bounds(time.monotonic() + seconds, seconds, max_bytes))
    try:
        yield
    finally:
        _bounds.reset(token)


def make_client(timeout: float) -> httpx2.Client:
    """A client for ``bounded`` calls. It asks for no compressed answers, because their size would not be known."""
    headers = {"Accept-Encoding": "identity"}
    return httpx2.Client(timeout=timeout, headers=headers, event_hooks={"response": [_bound]}, verify=_authorities())


@cache
def _authorities() -> SSLContext:
    # Reading the certificates takes 20 ms, and each embedder and reranker has a client.
    return httpx2.create_ssl_context()


def _bound(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("the response is compressed, which was not asked for", request=response.request)
    stream = response.stream
    if isinstance(stream, httpx2.SyncByteStream):
        response.stream = _BoundedStream(stream, _bounds.get(), response.request)


class _BoundedStream(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, bounds: _Bounds, request: httpx2.Request) -> None:
        self._stream, self._bounds, self._request = stream, bounds, request

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        for part in self._stream:
            received += len(part)
            if time.monotonic() > self._bounds.deadline:
                raise httpx2.ReadTimeout("the response is too slow", request=self._request)
            if received > self._bounds.max_bytes:
                message = f"the response has more than {self._bounds.max_bytes} bytes"
                raise httpx2.DecodingError(message, request=self._request)
            yield part

    def close(self) -> None:
        self._stream.close()
