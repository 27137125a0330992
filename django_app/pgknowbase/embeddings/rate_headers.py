"""What a provider says in its headers about its limits: how many requests and tokens a minute, and what is left."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# OpenAI, Azure, Groq, Together and others; Cohere has names of its own, for requests of its trial keys alone.
_NAMES: Final = {
    "requests": (
        ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
        ("x-trial-endpoint-call-limit", "x-trial-endpoint-call-remaining"),
    ),
    "tokens": (("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"),),
}
# '20ms', '1s', '6m0s', '1h2m3.5s'; a number alone counts seconds.
_DURATION: Final = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SECONDS: Final = (3600, 60, 1, 0.001)
# A limit that is whole again later than this is not one of a minute, such as the requests of a day.
_LONGEST_RESET: Final = 90.0


@dataclass(frozen=True, slots=True)
class ReportedRate:
    """The limits of a minute as the headers of one answer say them; None where they say nothing.

    >>> parse_rate({"x-ratelimit-limit-requests": "3000", "x-ratelimit-remaining-requests": "2999"})
    ReportedRate(requests=3000.0, tokens=None, remaining_requests=2999.0, remaining_tokens=None)
    """

    requests: float | None = None
    tokens: float | None = None
    remaining_requests: float | None = None
    remaining_tokens: float | None = None


def parse_rate(headers: Mapping[str, str]) -> ReportedRate | None:
    """What the headers say, or None. Numbers that cannot be are taken for nothing said.

    Args:
        headers: with names in lower case, or of a type that finds them in any case.
    """
    requests, remaining_requests = _limit(headers, "requests")
    tokens, remaining_tokens = _limit(headers, "tokens")
    if requests is None and tokens is None:
        return None
    return ReportedRate(requests, tokens, remaining_requests, remaining_tokens)


def _limit(headers: Mapping[str, str], unit: str) -> tuple[float | None, float | None]:
    """The limit of a minute, and what remains of it."""
    reset = _duration(headers.get(f"x-ratelimit-reset-{unit}"))
    if reset is not None and reset > _LONGEST_RESET:
        return None, None
    for limit_name, remaining_name in _NAMES[unit]:
        limit, remaining = _number(headers.get(limit_name)), _number(headers.get(remaining_name))
        if limit:
            # Azure counts some limits for ten seconds, and says so.
            period = _number(headers.get(f"x-ratelimit-renewalperiod-{unit}")) or 60.0
            return limit * 60.0 / period, remaining
    return None, None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None  # Azure says -1 of what it does not count


def _duration(value: str | None) -> float | None:
    """Seconds, or None."""
    text = (value or "").strip()
    if (number := _number(text)) is not None:
        return number
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        return None
    return sum(float(part) * seconds for part, seconds in zip(found.groups(), _SECONDS, strict=True) if part)
