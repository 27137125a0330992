"""What an OpenAI-compatible server answers, read with distrust."""

import base64
import binascii
import json
import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from pgknowbase.embeddings.validation import shorten
from pgknowbase.errors import RetryableEmbeddingError

_MESSAGE_LENGTH = 300


def parse_embeddings(content: bytes, *, count: int, server: str) -> tuple[list[Sequence[float]], int | None]:
    """``count`` vectors in the order of the request, and the number of tokens the server counted, if it did.

    Lengths and values of the vectors are left to ``check_vectors``.

    Raises:
        RetryableEmbeddingError: the answer is malformed or incomplete.
    """
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        _malformed(server, f"no JSON ({shorten(content[:200].decode(errors='replace'))!r})", error)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        _malformed(server, f"no list 'data' ({shorten(content[:200].decode(errors='replace'))!r})")
    if len(data) != count:
        _malformed(server, f"{len(data)} vectors for {count} texts")
    vectors = [_vector(item.get("embedding"), server) for item in _in_order(data, server)]
    return vectors, _tokens(answer.get("usage"))


def provider_message(content: bytes, *, secret: str | None = None) -> str:
    """The message inside an error answer, shortened, without ``secret``."""
    text = content[:4096].decode(errors="replace")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        error = body.get("error", body)
        found = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        text = str(found or body.get("message") or text)
    if secret:
        text = text.replace(secret, "***")
    return shorten(text, _MESSAGE_LENGTH)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``Retry-After-Ms`` or ``Retry-After`` (seconds or an HTTP date), or None."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _in_order(data: list[dict[str, Any]], server: str) -> list[dict[str, Any]]:
    if all("index" not in item for item in data):
        return data
    ordered: dict[int, dict[str, Any]] = {}
    for item in data:
        index = item.get("index")
        if type(index) is not int or index in ordered or not 0 <= index < len(data):
            _malformed(server, f"the index {index!r} among {len(data)} vectors")
        ordered[index] = item
    return [ordered[index] for index in range(len(data))]


def _vector(value: object, server: str) -> Sequence[float]:
    """Floats from a list or from base64 of little-endian float32; null is how many send NaN."""
    if isinstance(value, list):
        if all(type(number) is float for number in value):
            return value
        if all(number is None or type(number) in (int, float) for number in value):
            return [math.nan if number is None else _float(number) for number in value]
    elif isinstance(value, str):
        try:
            numbers = array("f", base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError) as error:
            _malformed(server, "a vector that is not base64 of float32", error)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()
    return _malformed(server, f"a vector of type {type(value).__name__!r}")


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _tokens(usage: object) -> int | None:
    if not isinstance(usage, dict):
        return None
    for name in ("prompt_tokens", "total_tokens"):
        if type(usage.get(name)) is int and usage[name] > 0:
            return int(usage[name])
    return None


def _malformed(server: str, what: str, cause: Exception | None = None) -> NoReturn:
    raise RetryableEmbeddingError(
        f"{server!r} sent a malformed answer: {what}. Try again; if it persists, check that BASE_URL is an "
        "OpenAI-compatible server."
    ) from cause
