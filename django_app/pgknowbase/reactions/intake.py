"""From events to deliveries: one for each reaction and row, however many changes there were."""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from pgknowbase import gateway
from pgknowbase.conf import get_settings
from pgknowbase.keys import normal_key, object_key, parse_keys
from pgknowbase.reactions.chain import parse_chain
from pgknowbase.reactions.registry import Reaction
from pgknowbase.relay.transactions import fresh_reads

logger = logging.getLogger("pgknowbase.reactions")


@dataclass
class _Wanted:
    """A delivery to be."""

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
    with fresh_reads(using):
        events = gateway.fetch(using, gateway.REACTION_CLAIM, list(known), max_keys)
        wanted: dict[tuple[str, str], _Wanted] = {}
        for number, name, keys, op, chain, created_at in events:
            for key in keys:
                model = known[name].model
                one = _Wanted(name, model._meta.label, normal_key(model, key), op, chain, number, created_at)
                _note(wanted, one)
        passing = [one for one in _passing(using, known, wanted) if not _is_own(one)]
        if passing:
            rows = json.dumps([asdict(_bounded(one)) for one in passing], default=str)
            gateway.fetch(using, gateway.DELIVERY_ADD, rows)
        if events:
            gateway.fetch(using, gateway.REACTION_ACK, [event[0] for event in events])
    return sum(len(keys) for _, _, keys, *_ in events)


def _is_own(one: _Wanted) -> bool:
    """Whether the reaction, or one that it set off, has made this change while it ran for this very row."""
    return (one.reaction, one.object_key) in parse_chain(one.chain)


def _note(wanted: dict[tuple[str, str], _Wanted], one: _Wanted) -> None:
    """Add a change to those of the same row; as ``pgknowbase_delivery_add_v1`` does it."""
    if _is_own(one):
        return
    before = wanted.setdefault((one.reaction, one.object_key), one)
    if before is not one:
        before.op = "I" if (before.op, one.op) == ("I", "U") else one.op
        before.chain = max(before.chain, one.chain, key=len)
        before.event = one.event


def _bounded(one: _Wanted) -> _Wanted:
    """A chain that has grown too long ends here, as a dead letter."""
    limit, chain = get_settings().reactions.max_depth, parse_chain(one.chain)
    if len(chain) >= limit:
        path = " -> ".join(f"{name} ({key})" for name, key in chain)
        one.error = f"{limit} reactions have set off each other: {path}. Break the circle, or raise MAX_DEPTH."
    return one


def _passing(using: str, known: Mapping[str, Reaction], wanted: Mapping[tuple[str, str], _Wanted]) -> list[_Wanted]:
    """Those whose committed row passes the condition now. Each is asked again when its run begins."""
    by_reaction: dict[str, list[_Wanted]] = defaultdict(list)
    for one in wanted.values():
        by_reaction[one.reaction].append(one)
    found: list[_Wanted] = []
    for name, those in by_reaction.items():
        found += those if known[name].condition is None else _tested(using, known[name], those)
    return found


def _tested(using: str, reaction: Reaction, those: list[_Wanted]) -> list[_Wanted]:
    pks = parse_keys(reaction.model, (one.object_key for one in those if one.op != "D"))
    try:
        with transaction.atomic(using=using):
            rows = reaction.model._base_manager.using(using).filter(reaction.condition or Q(), pk__in=pks)
            keys = {object_key(pk) for pk in rows.values_list("pk", flat=True)}
    except Exception as error:  # noqa: BLE001 - each run meets it again, and records it
        logger.warning("the condition of %r cannot be asked: %s", reaction.name, error)
        return those
    return [one for one in those if one.op == "D" or one.object_key in keys]
