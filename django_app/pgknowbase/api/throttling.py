"""Rate limits, counted in Postgres: all processes share one counter, and no cache is needed."""

import math
from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest

from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
# A subscriber has at least this network of IPv6 to choose addresses from, so the whole of it shares a rate.
SUBSCRIBER_BITS = 64


def throttle(bucket: str, rate: str) -> None:
    """Count one request against a rate.

    Args:
        bucket: who is counted, such as ``"token:12"``.
        rate: such as ``"60/minute"``; ``""`` allows any number.

    Raises:
        Problem: 429, with the seconds to wait as Retry-After.
    """
    if not rate:
        return
    count, _, period = rate.partition("/")
    wait = gateway.fetch_value(
        get_settings().database, "throttle", caller=bucket, max_requests=int(count), period=SECONDS[period]
    )
    if wait:
        seconds = math.ceil(wait)
        raise Problem(
            429,
            "throttled",
            f"More than {count} requests in a {period}: wait {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def client_address(request: HttpRequest) -> str:
    """The IP address of the client, of IPv6 its /64 network; "unknown" if there is none.

    A client can write anything into X-Forwarded-For. Only the entries that the project's own proxies added are
    trustworthy: they are the last ones, as many as TRUSTED_PROXIES says.
    """
    claimed = str(request.META.get("REMOTE_ADDR") or "")
    if proxies := get_settings().api.trusted_proxies:
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
        if hops:
            claimed = hops[-min(proxies, len(hops))]
    try:
        address = ip_address(claimed)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, SUBSCRIBER_BITS), strict=False))
    return str(address)
