"""Reading an answer in OpenAI's embeddings format: what the package ``openai`` takes as it comes is checked here.

The package neither counts the vectors nor compares their indexes, and it reads base64 only where nobody asked for it.
"""

import base64
import binascii
import json
import math
import re
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from pgknowbase.core.secrets import without_secrets
from pgknowbase.embeddings.base import shorten
from pgknowbase.errors import RetryableEmbeddingError

_WHOLE_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]{1,9})(\.0*)?\s*", re.ASCII)


def parse_embeddings(content: bytes, *, count: int, server: str) -> tuple[list[Sequence[float]], int | None]:
    """``count`` vectors in the order of the request, and the number of tokens the server counted, if it did.

    Lengths and values of the vectors are left to ``check_vectors``.

    Raises:
        RetryableEmbeddingError: the answer is malformed, incomplete or contradicts itself.
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


def _in_order(data: list[dict[str, Any]], server: str) -> list[dict[str, Any]]:
    """By their indexes, which some servers count from 1. Where an item has none, its position counts."""
    indexes = [_index(item.get("index"), server) for item in data]
    places = [place if index is None else index for place, index in enumerate(indexes)]
    if None not in indexes and min(places) == 1:
        places = [place - 1 for place in places]
    if sorted(places) == list(range(len(data))):
        return [data[position] for position in sorted(range(len(data)), key=places.__getitem__)]
    shown = ", ".join("none" if index is None else str(index) for index in indexes)
    return _malformed(server, f"the index of each vector should say its text, and they are {shorten(shown)}")


def _index(value: object, server: str) -> int | None:
    """None where the item says nothing. Some servers write the number as text, or as 1.0."""
    if value is None or value == "":
        return None
    if type(value) in (int, float, str) and (found := _WHOLE_NUMBER.fullmatch(str(value))):
        return int(found[1])
    return _malformed(server, f"the index {shorten(repr(value))}")


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
        f"{server!r} sent a malformed answer: {without_secrets(what)}. Try again; if it persists, check that BASE_URL"
        " is an OpenAI-compatible server."
    ) from cause
