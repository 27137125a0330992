"""Reports of the ledger, for the command, the admin and the REST API."""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pgknowbase.core import gateway

Dimension = Literal["day", "month", "kind", "provider", "model", "space", "source", "tenant"]
DIMENSIONS: tuple[Dimension, ...] = ("day", "month", "kind", "provider", "model", "space", "source", "tenant")


class CostRow(BaseModel):
    """What was used under one name: a day, a model, a tenant.

    ``texts`` were sent, ``reused`` needed no call. ``estimated_tokens`` are those of ``tokens`` that the provider did
    not report, or reported as a number that cannot be (``doubtful_calls``). ``cost`` is in US dollars, of the tokens
    that have a price; null where none has. ``unpriced_tokens`` have none, so where they are not 0, ``cost`` is a part.
    ``seconds`` were spent waiting for calls.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    texts: int
    reused: int
    characters: int
    tokens: int
    estimated_tokens: int
    output_tokens: int
    calls: int
    failed_calls: int
    retried_calls: int
    doubtful_calls: int
    seconds: float
    cost: Decimal | None
    unpriced_tokens: int


class CostReport(BaseModel):
    """What was used since a day, by one of the names of the ledger, and in total."""

    model_config = ConfigDict(frozen=True)

    since: date | None
    by: Dimension
    rows: list[CostRow]
    total: CostRow | None


def cost_report(using: str, *, since: date | None = None, by: Dimension = "day") -> CostReport:
    """What was used from the day ``since`` on, by default ever.

    >>> cost_report("default", by="model").rows[0].cost
    Decimal('1.234')
    """
    rows = [CostRow.model_validate(row) for row in gateway.fetch_dicts(using, "costs", since=since, by=by)]
    totals = gateway.fetch_dicts(using, "costs", since=since, by="")
    return CostReport(since=since, by=by, rows=rows, total=CostRow.model_validate(totals[0]) if totals else None)
