"""Intake: from events to deliveries, one for each reaction and row, however many changes there were."""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from pgknowbase.capture.tracing import set_delivery_traces, traces_of_reaction_events
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.keys import normal_key, object_key, parse_keys
from pgknowbase.core.transactions import read_committed
from pgknowbase.reactions.chain import parse_chain
from pgknowbase.reactions.registry import Reaction

logger = logging.getLogger("pgknowbase.reactions")


@dataclass
class _NewDelivery:
    """A delivery that is not written yet: the changes of one row that one reaction waits for."""

    reaction: str
    model: str
    object_key: str
    op: str
    chain: str
    event: int
    created_at: datetime
    error: str = ""


def take_events(using: str, known: Mapping[str, Reaction], max_keys: int) -> int:
    """Turn a batch of events into deliveries, in one transaction; returns how many changed rows that were."""
    with read_committed(using):
        events = gateway.fetch(using, "reaction_claim", reactions=list(known), max_keys=max_keys)
        wanted: dict[tuple[str, str], _NewDelivery] = {}
        for number, name, keys, op, chain, created_at in events:
            for key in keys:
                model = known[name].model
                delivery = _NewDelivery(name, model._meta.label, normal_key(model, key), op, chain, number, created_at)
                _merge(wanted, delivery)
        # The condition is evaluated here too, so that a change which fails it costs no delivery.
        passing = [delivery for delivery in _passing(using, known, wanted) if not _is_own(delivery)]
        if passing:
            rows = json.dumps([asdict(_limit_chain(delivery)) for delivery in passing], default=str)
            gateway.fetch(using, "delivery_add", rows=rows)
            traces = traces_of_reaction_events(using, [delivery.event for delivery in passing])
            set_delivery_traces(
                using,
                [(each.reaction, each.object_key, traces[each.event]) for each in passing if each.event in traces],
            )
        if events:
            gateway.fetch(using, "reaction_ack", ids=[event[0] for event in events])
    return sum(len(keys) for _, _, keys, *_ in events)


def _is_own(delivery: _NewDelivery) -> bool:
    """Whether the reaction, or one that it set off, has made this change while it ran for this very row."""
    return (delivery.reaction, delivery.object_key) in parse_chain(delivery.chain)


def _merge(wanted: dict[tuple[str, str], _NewDelivery], delivery: _NewDelivery) -> None:
    """Add a change to those of the same row, as ``pgknowbase_delivery_add_v1`` does it."""
    if _is_own(delivery):
        return
    before = wanted.setdefault((delivery.reaction, delivery.object_key), delivery)
    if before is not delivery:
        before.op = "I" if (before.op, delivery.op) == ("I", "U") else delivery.op
        before.chain = max(before.chain, delivery.chain, key=len)
        before.event = delivery.event


def _limit_chain(delivery: _NewDelivery) -> _NewDelivery:
    """Make a dead letter of a delivery whose chain of reactions has grown too long."""
    limit, chain = get_settings().reactions.max_chain_length, parse_chain(delivery.chain)
    if len(chain) >= limit:
        path = " -> ".join(f"{name} ({key})" for name, key in chain)
        advice = "Break the circle, or raise MAX_CHAIN_LENGTH."
        delivery.error = f"{limit} reactions have set off each other: {path}. {advice}"
    return delivery


def _passing(
    using: str, known: Mapping[str, Reaction], wanted: Mapping[tuple[str, str], _NewDelivery]
) -> list[_NewDelivery]:
    """Those whose committed row passes the condition now. It is checked again when the run starts."""
    by_reaction: dict[str, list[_NewDelivery]] = defaultdict(list)
    for delivery in wanted.values():
        by_reaction[delivery.reaction].append(delivery)
    found: list[_NewDelivery] = []
    for name, deliveries in by_reaction.items():
        found += deliveries if known[name].condition is None else _passing_condition(using, known[name], deliveries)
    return found


def _passing_condition(using: str, reaction: Reaction, deliveries: list[_NewDelivery]) -> list[_NewDelivery]:
    pks = parse_keys(reaction.model, (delivery.object_key for delivery in deliveries if delivery.op != "D"))
    try:
        with transaction.atomic(using=using):
            rows = reaction.model._base_manager.using(using).filter(reaction.condition or Q(), pk__in=pks)
            keys = {object_key(reaction.model, pk) for pk in rows.values_list("pk", flat=True)}
    except Exception as error:  # noqa: BLE001 - each run meets it again, and records it
        logger.warning("the condition of %r cannot be asked: %s", reaction.name, error)
        return deliveries
    return [delivery for delivery in deliveries if delivery.op == "D" or delivery.object_key in keys]
