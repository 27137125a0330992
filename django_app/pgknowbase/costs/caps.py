"""Caps: what embedding may use in a day or month, and which documents wait when it is used up.

What a batch will use is reserved in the ledger before its calls, under a lock of the model, and corrected after them.
So workers together keep to a cap, and what a worker that died had reserved stays counted: its calls may have been
billed.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from pgknowbase.conf import CapSettings, get_settings
from pgknowbase.core import gateway
from pgknowbase.core.times import midnight
from pgknowbase.costs.calls import CHARACTERS_PER_TOKEN, UsageKind
from pgknowbase.costs.ledger import DocumentKey, add_entries
from pgknowbase.costs.prices import embedding_price
from pgknowbase.embeddings.base import Embedder

# Seconds for which a cap that was reached is not looked at again. One that is raised is heard of at once.
LOOK_INTERVAL = 30.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one document needs: the characters of texts without a vector. ``backfill``: it waits before fresh ones."""

    document: DocumentKey
    tenant: str
    characters: int
    backfill: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a document waits. ``until``: the end of the period; None where it may be due again at any time."""

    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class _Spent:
    tokens: int
    cost: Decimal


@dataclass
class Reservation:
    """What a batch may use: entries of the ledger that ``Caps.release`` takes back."""

    refused: dict[DocumentKey, Refusal] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)


class Caps:
    """The caps of one embedding model, for the executor of one space.

    Args:
        background: the space is not the active one, so all its documents may wait as backfills do.
    """

    def __init__(self, using: str, embedder: Embedder, space: str, *, background: bool) -> None:
        self.using = using
        self.embedder = embedder
        self.space = space
        self.background = background
        # By whether it is a backfill: until when nothing of it is leased.
        self._closed_until: dict[bool, float] = {}
        self._caps: list[CapSettings] = []

    @property
    def caps(self) -> list[CapSettings]:
        """Those of this model, as the settings are now. A change opens what was closed."""
        caps = [cap for cap in get_settings().costs.caps if cap.model in ("", self.embedder.model)]
        if caps != self._caps:
            self._caps = caps
            self._closed_until.clear()
        return caps

    @property
    def signature(self) -> str:
        """What the caps are: documents that wait for the end of a period are due when it changes."""
        return ";".join(repr(cap) for cap in self.caps)

    def is_closed(self, *, backfill: bool) -> bool:
        """Whether no document of this kind is to be leased for now."""
        return bool(self.caps) and time.monotonic() < self._closed_until.get(backfill or self.background, 0.0)

    def reserve(self, demands: Sequence[Demand]) -> Reservation:
        """Reserve what these documents need, in their order; those that find no room are refused."""
        made = Reservation()
        wanted = [demand for demand in demands if demand.characters]
        if not self.caps or not wanted:
            return made
        price = embedding_price(self.embedder.model, self.embedder.provider)
        with transaction.atomic(using=self.using):
            gateway.fetch(self.using, "lock_name", name=f"pgknowbase caps {self.embedder.model}")
            spent = self._spent({demand.tenant for demand in wanted})
            reserved: defaultdict[str, int] = defaultdict(int)
            for demand in wanted:
                tokens = math.ceil(demand.characters * self._tokens_per_character())
                refusal = self._refusal(demand, tokens, price, spent)
                if refusal is not None:
                    made.refused[demand.document] = refusal
                    continue
                reserved[demand.tenant] += tokens
                for (per, tenant), so_far in spent.items():
                    if tenant in ("", demand.tenant):
                        cost = so_far.cost + (price or 0) * tokens
                        spent[per, tenant] = _Spent(so_far.tokens + tokens, cost)
            made.entries = [self._entry(tenant, tokens, price) for tenant, tokens in reserved.items()]
            if made.entries:
                add_entries(self.using, made.entries)
        return made

    def refusal_of(self, characters: int, *, backfill: bool) -> Refusal | None:
        """The refusal of a text of so many characters that is no tenant's, if there is one."""
        if not self.caps:
            return None
        tokens = math.ceil(characters * self._tokens_per_character())
        price = embedding_price(self.embedder.model, self.embedder.provider)
        return self._refusal(Demand((0, ""), "", characters, backfill), tokens, price, self._spent(()))

    def release(self, reservation: Reservation) -> None:
        """Take a reservation back, when what was really used is in the ledger."""
        if reservation.entries:
            figures = ("tokens", "estimated_tokens", "unpriced_tokens")
            add_entries(
                self.using,
                [
                    {
                        **entry,
                        **{name: -entry[name] for name in figures},
                        "cost": None if entry["cost"] is None else str(-Decimal(entry["cost"])),
                    }
                    for entry in reservation.entries
                ],
            )

    def _entry(self, tenant: str, tokens: int, price: Decimal | None) -> dict[str, Any]:
        return {
            "day": midnight().date().isoformat(),
            "kind": UsageKind.EMBEDDING,
            "provider": self.embedder.provider,
            "model": self.embedder.model,
            "space": self.space,
            "tenant": tenant,
            "tokens": tokens,
            "estimated_tokens": tokens,
            "unpriced_tokens": tokens if price is None else 0,
            "cost": None if price is None else str(price * tokens),
        }

    def _spent(self, tenants: Iterable[str]) -> dict[tuple[str, str], _Spent]:
        """Used so far, by period and tenant; of all tenants together under ''."""
        rows = gateway.fetch(
            self.using,
            "spent",
            model=self.embedder.model,
            tenants=sorted(tenants),
            day=midnight().date(),
            month=midnight().date().replace(day=1),
        )
        return {(per, tenant): _Spent(tokens, cost) for per, tenant, tokens, cost in rows}

    def _tokens_per_character(self) -> float:
        rows = gateway.fetch(self.using, "usage_rates", provider=self.embedder.provider, model=self.embedder.model)
        return rows[0][0] or 1 / CHARACTERS_PER_TOKEN

    def _refusal(
        self, demand: Demand, tokens: int, price: Decimal | None, spent: dict[tuple[str, str], _Spent]
    ) -> Refusal | None:
        backfill = demand.backfill or self.background
        for cap in self.caps:
            if not cap.concerns(demand.tenant):
                continue
            so_far = spent[cap.per, "" if cap.tenant == "" else demand.tenant]
            share = Decimal(str(cap.backfill)) if backfill else Decimal(1)
            whose = f"the model {self.embedder.model!r}" + (f" and tenant {demand.tenant!r}" if cap.tenant else "")
            if cap.cost is not None and price is None:
                self._close(cap, backfill=backfill)
                return Refusal(
                    f"The price of {self.embedder.model!r} is unknown, and a cap of COST is set: name it in"
                    " COSTS['PRICES'], or cap TOKENS.",
                    None if cap.tenant == "" else end_of(cap.per),
                )
            needs = [(tokens, so_far.tokens, cap.tokens, "tokens")] if cap.tokens is not None else []
            if cap.cost is not None:
                needs.append((price * tokens, so_far.cost, cap.cost, "dollars"))  # type: ignore[operator,arg-type]
            for need, used, most, unit in needs:
                limit = most * share
                if used + need <= limit:
                    continue
                if need > limit:
                    return Refusal(
                        f"The document needs about {need:,.10g} {unit}, and the cap of {whose} allows {limit:,.10g} a"
                        f" {cap.per}: raise it in COSTS['CAPS'].",
                        end_of(cap.per),
                    )
                waits = "Backfills wait" if backfill else "The document waits"
                reason = (
                    f"{waits}: {used:,.10g} of the {limit:,.10g} {unit} that the cap of {whose} allows a {cap.per} are"
                    " used. Raise it in COSTS['CAPS'], or wait for the next one."
                )
                self._close(cap, backfill=backfill)
                return Refusal(reason, None if cap.tenant == "" else end_of(cap.per))
        return None

    def _close(self, cap: CapSettings, *, backfill: bool) -> None:
        """Lease no more of this kind for a while, where the cap concerns all tenants."""
        if cap.tenant == "":
            seconds = min(LOOK_INTERVAL, (end_of(cap.per) - _aware_now()).total_seconds())
            self._closed_until[backfill] = time.monotonic() + seconds


def end_of(per: str) -> datetime:
    """When the current day or month ends, in the project's time zone; with a zone."""
    start = midnight()
    if per == "day":
        after = start + timedelta(days=1, hours=12)
    else:
        after = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = after.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return timezone.make_aware(end, timezone.get_current_timezone())


def _aware_now() -> datetime:
    now = timezone.now()
    return now if timezone.is_aware(now) else timezone.make_aware(now, timezone.get_current_timezone())
