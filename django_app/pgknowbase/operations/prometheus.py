"""The state of the index as text for Prometheus, in its exposition format 0.0.4."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pgknowbase.core.times import midnight
from pgknowbase.costs.report import cost_report
from pgknowbase.operations.status import IndexStatus, index_status
from pgknowbase.search.measured import search_counts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, Any], Any]


def metrics_text(using: str) -> str:
    """All metrics. Those of the database are the same from each process; searches are those of this one."""
    status = index_status(using)
    families = [*_sources(status), *_queues(status), *_providers(status), *_costs(using), _searches()]
    return "".join(_family(*family) for family in families)


Family = tuple[str, str, str, Iterable[Sample]]


def _sources(status: IndexStatus) -> list[Family]:
    def of_source(name: str, told: str, attribute: str) -> Family:
        samples = [({"source": each.source}, getattr(each, attribute)) for each in status.sources]
        return name, "gauge", told, samples

    states = ("completed", "pending", "processing", "failed")
    return [
        (
            "pgknowbase_objects",
            "gauge",
            "Objects in the index, by state.",
            [
                ({"source": each.source, "state": state}, getattr(each, state))
                for each in status.sources
                for state in states
            ],
        ),
        of_source("pgknowbase_lag_seconds", "Age of the oldest change that is not indexed.", "lag_seconds"),
        of_source("pgknowbase_outbox_changes", "Changes that no relay has taken.", "outbox"),
        of_source("pgknowbase_dead_objects", "Failed objects that are not retried.", "dead"),
        of_source("pgknowbase_chunks", "Chunks in the index.", "chunks"),
    ]


def _queues(status: IndexStatus) -> list[Family]:
    space = [] if status.space is None else [({"space": status.space.name}, status.space.queue)]
    reactions, workers = status.reactions, status.workers
    return [
        ("pgknowbase_queue_documents", "gauge", "Documents that wait for their embeddings.", space),
        (
            "pgknowbase_deliveries",
            "gauge",
            "Runs of reactions, by state.",
            [
                ({"reaction": each.reaction, "state": state}, getattr(each, state))
                for each in reactions
                for state in ("pending", "running", "failed", "dead")
            ],
        ),
        ("pgknowbase_workers", "gauge", "Running workers.", [({}, len(workers))]),
        (
            "pgknowbase_worker_heartbeat_age_seconds",
            "gauge",
            "Since a worker was last heard of.",
            [({"host": each.host, "pid": each.pid}, each.heartbeat_age) for each in workers],
        ),
    ]


def _providers(status: IndexStatus) -> list[Family]:
    paused = [({"provider": each.provider, "model": each.model}, each.failures) for each in status.outages]
    return [
        (
            "pgknowbase_provider_failures",
            "gauge",
            "Batches in a row for which a provider has failed; its embeddings pause.",
            paused,
        ),
        (
            "pgknowbase_provider_paused_until_seconds",
            "gauge",
            "When a provider is asked again, as Unix time.",
            [
                ({"provider": each.provider, "model": each.model}, each.paused_until.timestamp())
                for each in status.outages
            ],
        ),
        (
            "pgknowbase_cap_used_ratio",
            "gauge",
            "How far a cap is used.",
            [
                (
                    {"model": each.model, "tenant": each.tenant, "per": each.per, "unit": each.unit},
                    each.used / each.limit if each.limit else 1,
                )
                for each in status.caps
            ],
        ),
    ]


def _costs(using: str) -> list[Family]:
    rows = cost_report(using, since=midnight().date(), by="model").rows
    samples = [({"model": row.name}, row) for row in rows]
    return [
        (
            "pgknowbase_cost_today_dollars",
            "gauge",
            "Paid since midnight, of what has a price.",
            [(labels, row.cost) for labels, row in samples if row.cost is not None],
        ),
        (
            "pgknowbase_tokens_today",
            "gauge",
            "Tokens since midnight, read and written.",
            [(labels, row.tokens + row.output_tokens) for labels, row in samples],
        ),
        (
            "pgknowbase_provider_calls_today",
            "gauge",
            "Calls to providers since midnight.",
            [(labels, row.calls) for labels, row in samples],
        ),
    ]


def _searches() -> Family:
    samples = [
        ({"mode": mode, "plan": plan, "pid": os.getpid()}, count)
        for (mode, plan), count in sorted(search_counts.read().items())
    ]
    return "pgknowbase_searches_total", "counter", "Searches of the process that answers.", samples


def _family(name: str, kind: str, told: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, Any]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: Any) -> str:
    return repr(float(value)) if not isinstance(value, int) else str(value)
