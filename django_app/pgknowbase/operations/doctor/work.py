"""Work: failures, pending changes, and the workers that process them."""

from collections.abc import Iterator

from django.utils import timezone

from pgknowbase.capture.triggers import literal
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.costs.cap_status import cap_statuses
from pgknowbase.models import EmbeddingSpace, ModelProbe, WorkerHeartbeat
from pgknowbase.operations.doctor.findings import Finding, duration, error, warning
from pgknowbase.operations.former_sources import WAITING, former_sources
from pgknowbase.operations.status import outage_statuses, reaction_statuses, worker_statuses
from pgknowbase.operations.unindexed import unindexed_models
from pgknowbase.relay.availability import unavailable
from pgknowbase.sources.registry import sources
from pgknowbase.vectorizer.model_check import describe_change, remedy

MAX_LAG = 300.0  # seconds
START = "manage.py pgknowbase_worker"


def failures(using: str) -> Iterator[Finding]:
    """Dead letters, and failed objects that will be retried, for each source model."""
    for row in gateway.fetch_dicts(using, "status"):
        source, dead, failed = row["source"], row["dead"], row["failed"]
        if dead:
            yield warning(
                "failed.dead",
                f"{dead} dead letters of {source}: they will not be retried automatically.",
                f"manage.py pgknowbase_dead_letters {source}",
                f"manage.py pgknowbase_dead_letters {source} --retry",
            )
        if failed > dead:
            yield warning(
                "failed.object",
                f"{failed - dead} objects of {source} failed; they are retried with growing delays.",
                f"manage.py pgknowbase_dead_letters {source}",
            )


def lag(using: str) -> Iterator[Finding]:
    """Changes that have waited too long, in the outbox or in a queue of documents."""
    for row in gateway.fetch_dicts(using, "status"):
        if row["lag_seconds"] > MAX_LAG:
            waiting = row["pending"] + row["processing"]
            yield warning(
                "lag.source",
                f"The oldest change of {row['source']} has waited for {duration(row['lag_seconds'])}:"
                f" {row['outbox']} events in the outbox, {waiting} objects not embedded yet.",
                *_more_work(using),
            )
    now = timezone.now()
    for queue in gateway.fetch_dicts(using, "queue_states"):
        since = queue["due_since"]
        if since is not None and (now - since).total_seconds() > MAX_LAG:
            yield warning(
                "lag.queue",
                f"{queue['due']:,} documents are due in the queue of the space {queue['space']!r}, the oldest for"
                f" {duration((now - since).total_seconds())}.",
                *_more_work(using),
            )


def providers(using: str) -> Iterator[Finding]:
    """Providers that refuse every text or do not answer: nothing is embedded until they do."""
    now = timezone.now()
    for outage in outage_statuses(using):
        wait = (outage.paused_until - now).total_seconds()
        following = f"in {duration(wait)}" if wait > 0 else "as soon as a worker runs"
        yield error(
            "provider.outage",
            f"{outage.provider} has embedded nothing with the model {outage.model!r} for"
            f" {duration((now - outage.failing_since).total_seconds())}, in {outage.failures} attempts: {outage.error}",
            f"Correct what it says. The next attempt is {following}; then everything is embedded by itself.",
            'manage.py pgknowbase_embeddings test "some text"',
        )


def caps(using: str) -> Iterator[Finding]:
    """Caps that are used up: keyword search serves the documents that wait."""
    for cap in cap_statuses(using):
        if cap.state != "open":
            whose = f"{cap.model!r}, tenant {cap.tenant!r}" if cap.tenant else f"{cap.model!r}"
            what = "No document is embedded" if cap.state == "all wait" else "Backfills and inactive spaces wait"
            yield warning(
                "costs.cap",
                f"{what}: {cap.used:,.10g} of {cap.limit:,.10g} {cap.unit} a {cap.per} of {whose} are used.",
                f"Raise it in PGKNOWBASE['COSTS']['CAPS'] and restart the workers, or wait for the next {cap.per}.",
                "manage.py pgknowbase_costs --by tenant --since 1d",
            )


def models(using: str) -> Iterator[Finding]:
    """Embedding spaces by the name of whose model another one answers: nothing is embedded for them."""
    changed = {probe.space_id: probe for probe in ModelProbe.objects.using(using).filter(changed_at__isnull=False)}
    for space in EmbeddingSpace.objects.using(using).filter(pk__in=changed):
        probe = changed[space.pk]
        searches = " Searches by meaning compare it with vectors of the former one." if space.is_active else ""
        yield error(
            "space.model",
            f"{describe_change(space, probe.similarity or 0.0)} So it is since {probe.changed_at:%Y-%m-%d %H:%M:%S}."
            f"{searches}",
            remedy(using, is_active=space.is_active),
        )


def former(using: str) -> Iterator[Finding]:
    """What is left of models that are not source models any more. No search of this project finds it."""
    for found in former_sources(using):
        if found.objects:
            yield warning(
                "source.objects",
                f"The index holds {found.objects:,} objects of {found.label!r}, which is not a source model.",
                "manage.py sync_external_models --repair",
            )
        if found.events:
            yield warning(
                "source.events",
                f"{found.events:,} changes of {found.label!r} wait, which is not a source model of this version.",
                WAITING,
                f"SELECT pgknowbase_source_remove_v1('{found.label}');",
            )


def unindexed(using: str) -> Iterator[Finding]:
    """Source models with rows from before their triggers."""
    for found in unindexed_models(using):
        yield warning("source.rows", f"{found}.", found.command)


def words(using: str) -> Iterator[Finding]:
    """Words that another server, locale or text search configuration has made."""
    documents = gateway.fetch_value(using, "words_of_others")
    if documents:
        yield warning(
            "keywords.maker",
            f"The words of {documents:,} documents were made by another version of Postgres, another locale or another"
            " text search configuration. They are made anew when the worker has nothing else to do; until then"
            " keyword searches ask for old and new spellings, and are slower.",
            START,
        )


def versions(using: str) -> Iterator[Finding]:
    """Source models of which the database has another version than this project."""
    for label, reason in unavailable({source.label: source for source in sources()}, using).items():
        yield error(
            "source.version",
            f"Workers of this version leave the changes of {label} alone: {reason}",
            "manage.py migrate",
        )


def unknown_reactions(using: str) -> Iterator[Finding]:
    """Changes and runs that wait for a reaction which this version of the project does not declare."""
    for status in reaction_statuses(using):
        waiting = status.changes + status.pending + status.failed
        if waiting and not status.is_declared:
            name = literal(status.reaction)
            yield warning(
                "reaction.unknown",
                f"{waiting} changes wait for the reaction {status.reaction!r}, which this version does not declare.",
                "Start a worker of the version that does, or give the new reaction name= of the old one. If it is gone"
                " for good:",
                f"DELETE FROM pgknowbase_reaction_event WHERE reaction = {name};",  # noqa: S608 - shown, not run
                f"DELETE FROM pgknowbase_delivery WHERE reaction = {name} AND state = 'pending';",  # noqa: S608
            )


def unwatched(using: str) -> Iterator[Finding]:
    """What hooks were seen to read though no path watches it, for each source model."""
    for row in gateway.fetch_dicts(using, "rendering_costs"):
        if row["unwatched"]:
            yield warning(
                "hook.unwatched",
                f"Hooks of {row['source']} read what is not watched, so changes there do not reach the index: "
                + ", ".join(row["unwatched"])
                + ".",
                "Add the columns to watch_fields, as paths from the model such as 'category__name', or read others.",
                "manage.py makemigrations",
                "manage.py migrate",
                f"manage.py sync_external_models {row['source']}",
            )


def workers(using: str) -> Iterator[Finding]:
    """Work without a worker, and workers without a heartbeat that no other worker has taken over from."""
    timeout = get_settings().worker.heartbeat_timeout
    found = worker_statuses(using)
    living = [worker for worker in found if worker.heartbeat_age <= timeout]
    for worker in found:
        if worker not in living:
            holds = ", and holds documents on lease" if worker.busy else ""
            yield (error if worker.busy else warning)(
                "worker.silent",
                f"The worker {worker.host}:{worker.pid} has sent no heartbeat for {duration(worker.heartbeat_age)}"
                f"{holds}; no other worker has taken over.",
                START,
            )
    waiting = sum(row["outbox"] for row in gateway.fetch_dicts(using, "status"))
    due = sum(queue["due"] for queue in gateway.fetch_dicts(using, "queue_states"))
    embedding = any(worker.role == WorkerHeartbeat.Role.BOTH for worker in living)
    if waiting and not living:
        yield error("worker.none", f"{waiting} changes wait in the outbox and no worker is running.", START)
    if due and not embedding and not gateway.fetch_value(using, "pgai_workers"):
        yield error("worker.none", f"{due:,} documents wait to be embedded and no running worker embeds.", START)


def _more_work(using: str) -> tuple[str, ...]:
    return "manage.py pgknowbase_status", f"{START}  # another one, or a larger WORKER CONCURRENCY"
