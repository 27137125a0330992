"""How many requests a caller may make: counted in Postgres, so that all processes count together."""

import math
from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest

from pgknowbase import gateway
from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
# Of an IPv6 address a subscriber has at least so many to choose from.
SUBSCRIBER_BITS = 64


def throttle(bucket: str, rate: str) -> None:
    """Count one request of ``bucket`` against ``rate``, such as ``'60/minute'``; ``''`` allows any number.

    Raises:
        Problem: 429, with the seconds to wait as Retry-After.
    """
    if not rate:
        return
    count, _, period = rate.partition("/")
    wait = gateway.fetch_value(get_settings().database, gateway.THROTTLE, bucket, int(count), SECONDS[period])
    if wait:
        seconds = math.ceil(wait)
        raise Problem(
            429,
            "throttled",
            f"More than {count} requests in a {period}: wait {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def address(request: HttpRequest) -> str:
    """Where a request comes from, as far as PROXIES of the project's own can be trusted to tell."""
    told = str(request.META.get("REMOTE_ADDR") or "")
    if proxies := get_settings().api.proxies:
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
        if hops:
            told = hops[-min(proxies, len(hops))]
    try:
        known = ip_address(told)
    except ValueError:
        return "unknown"
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or ip_network((known, SUBSCRIBER_BITS), strict=False))
    return str(known)
