"""What a provider's answer without vectors means: the error for a status, in the provider's own words without keys."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from pgknowbase.core.secrets import MASK, without_secrets
from pgknowbase.embeddings.base import shorten
from pgknowbase.embeddings.rate_headers import parse_rate
from pgknowbase.errors import (
    EmbeddingError,
    EmbeddingSetupError,
    RefusedEmbeddingError,
    RetryableEmbeddingError,
    ThrottledEmbeddingError,
)

_RETRYABLE: Final = frozenset({408, 409, 425})
_SETUP: Final = {401: "Check the API key.", 404: "Check MODEL and BASE_URL."}
_ADVICE: Final = {
    402: "Check the account's credit.",
    403: "Check what the API key may do.",
    413: "Lower MAX_TEXTS or MAX_CHARACTERS, or CHUNK_SIZE if one text is too large.",
}
_UNKNOWN: Final = (
    "Its words say what it refuses: the request (MODEL, or an option such as ENCODING_FORMAT), the account, or a text"
    " that is longer than the model reads (lower CHUNK_SIZE)."
)
_MESSAGE_LENGTH: Final = 300
_READ_BYTES: Final = 4096


def refusal(status: int, message: str, *, server: str, model: str, headers: Mapping[str, str]) -> EmbeddingError:
    """The error for an answer with a ``status`` that is not 200.

    Only 401, 404 and redirections are plainly due to the settings. Any other refusal may concern the request, the
    account or a text: who asked finds out.

    Args:
        message: the provider's own words, see ``provider_message``.
        server: its host, for the message.
        headers: of the answer, with names in lower case or of a type that finds them in any case.
    """
    error = _refusal(status, f"{server!r} answered {status} for {model!r}: {message!r}", headers)
    error.rate = parse_rate(headers)
    return error


def _refusal(status: int, text: str, headers: Mapping[str, str]) -> EmbeddingError:
    if status == 429:
        return ThrottledEmbeddingError(f"{text}. Try again later.", retry_after=parse_retry_after(headers))
    if status in _RETRYABLE or status >= 500:
        return RetryableEmbeddingError(f"{text}. Try again later.", retry_after=parse_retry_after(headers))
    if status < 400:
        return EmbeddingSetupError(f"{text}. Set BASE_URL to where the server really is.")
    if status in _SETUP:
        return EmbeddingSetupError(f"{text}. {_SETUP[status]}")
    return RefusedEmbeddingError(f"{text}. {_ADVICE.get(status, _UNKNOWN)}")


def provider_message(content: bytes, *, secret: str | None = None) -> str:
    """The message inside the body of an error, shortened. Some servers repeat the key, which is masked."""
    text = content[:_READ_BYTES].decode(errors="replace")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    return message_of(body, text, secret=secret)


def message_of(body: object, text: str, *, secret: str | None = None) -> str:
    """As ``provider_message``, of a body that is parsed already. ``text``: what to show of any other body."""
    if isinstance(body, dict):
        error = body.get("error", body)
        found = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        text = str(found or body.get("message") or text)
    if secret:
        text = text.replace(secret, MASK)
    return shorten(without_secrets(text), _MESSAGE_LENGTH)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``Retry-After-Ms`` or ``Retry-After`` (seconds or an HTTP date), or None."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _seconds(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
