"""Exponential backoff: the wait before another attempt."""

import random

# Past this many doublings any delay is beyond any bound, and 2 ** n would only become an ever larger integer.
_MAX_DOUBLINGS = 30


def exponential_backoff(failures: int, *, delay: float, max_delay: float, jitter: float = 0.0) -> float:
    """Seconds to wait after ``failures`` failed attempts in a row: ``delay``, then twice that, then four times.

    Args:
        failures: from 1.
        delay: seconds after the first failure.
        max_delay: seconds, the upper bound of every wait.
        jitter: the share of the wait, from 0 to 1, by which it may be shorter at random, so that many clients of one
            server that failed together do not come back together.

    >>> [exponential_backoff(failures, delay=5, max_delay=900) for failures in (1, 2, 3, 20)]
    [5, 10, 20, 900]
    """
    wait: float = min(delay * 2 ** min(failures - 1, _MAX_DOUBLINGS), max_delay)
    return wait * random.uniform(1 - jitter, 1) if jitter else wait  # noqa: S311 - not cryptographic
