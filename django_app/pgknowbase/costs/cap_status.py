"""How far each cap is used, for the status, the doctor and the REST API."""

from collections import defaultdict
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.times import midnight


class CapStatus(BaseModel):
    """How far a cap of ``COSTS["CAPS"]`` is used, in ``unit``: tokens, or cost in US dollars.

    ``state``: 'open', 'backfills wait' (and spaces that are not active), or 'all wait'.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    tenant: str
    per: str
    unit: Literal["tokens", "cost"]
    used: Decimal
    limit: Decimal
    state: Literal["open", "backfills wait", "all wait"]


def cap_statuses(using: str) -> list[CapStatus]:
    """Every cap with what was used of it in the current day or month: of each model and tenant that has used some."""
    caps = get_settings().costs.caps
    if not caps:
        return []
    today = midnight().date()
    rows = gateway.fetch(using, "spent_by_tenant", day=today, month=today.replace(day=1))
    statuses = []
    for cap in caps:
        used: defaultdict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for per, model, tenant, tokens, cost in rows:
            if per == cap.per and cap.model in ("", model) and cap.concerns(tenant):
                sums = used[model, "" if cap.tenant == "" else tenant]
                sums[0] += tokens
                sums[1] += cost
        if cap.model and cap.tenant != "*":
            used[cap.model, cap.tenant]  # one of which nothing is used is shown too
        for (model, tenant), (tokens, cost) in sorted(used.items()):
            named = {"model": model, "tenant": tenant, "per": cap.per}
            if cap.tokens is not None:
                statuses.append(_status(tokens, Decimal(cap.tokens), cap.backfill, unit="tokens", **named))
            if cap.cost is not None:
                statuses.append(_status(cost, cap.cost, cap.backfill, unit="cost", **named))
    return statuses


def _status(used: Decimal, limit: Decimal, backfill: float, **named: str) -> CapStatus:
    part = limit * Decimal(str(backfill))
    state = "all wait" if used >= limit else "backfills wait" if used >= part else "open"
    return CapStatus.model_validate({"used": used, "limit": limit, "state": state, **named})
