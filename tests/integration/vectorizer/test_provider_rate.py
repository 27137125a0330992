"""The rate of a provider: shared by all workers, learnt from headers, and kept."""

import threading
import time

import pytest
from django.db import connection, connections

from pgknowbase.costs.calls import Call
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import BatchLimits
from pgknowbase.embeddings.rate_headers import ReportedRate
from pgknowbase.models import ExternalData, OutboxEvent, ProviderOutage, ProviderRate
from pgknowbase.relay.relay import Relay
from pgknowbase.spaces.specification import rebuild_space
from pgknowbase.sync.backfill import sync_model
from pgknowbase.testing.provider import FaultyProvider
from pgknowbase.testing.quota import Quota
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.vectorizer.provider_rate import ProviderRate as Rate
from pgknowbase.worker import Worker
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

SHARE = 0.98


def take(requests, texts, tokens, limits=(None, None, None), *, background=False, model="m"):
    """(granted, seconds, limits) of the statement itself."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM pgknowbase_rate_take_v1('host', %s, %s::float8[], %s::float8[], %s)",
            [model, [float(requests), float(texts), float(tokens)], list(limits), background],
        )
        return cursor.fetchone()


def correct(given=(0.0, 0.0, 0.0), reported=(None, None), remaining=(None, None), *, throttled=False):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pgknowbase_rate_correct_v1('host', 'm', %s::float8[], %s::float8[], %s::float8[], %s)",
            [list(given), list(reported), list(remaining), throttled],
        )


def pass_time(seconds):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pgknowbase_provider_rate SET filled_at = filled_at - %s * interval '1 s'", [seconds])


def empty():
    ProviderRate.objects.update(requests=0, texts=0, tokens=0)
    pass_time(0)


# The statement


def test_nothing_is_limited_where_nobody_says_so(transactional_db):
    assert take(5, 500, 10**9) == ([5, 500, 10**9], 0, [None, None, None])
    assert not ProviderRate.objects.exists()


def test_no_more_than_the_rate_is_granted_in_a_minute(transactional_db):
    """By the clock of the row, which the test turns on: granted to the end, and never above the share of the limit."""
    limits = (3000.0, None, 1_000_000.0)
    granted = [0.0, 0.0]
    started = time.monotonic()
    for _ in range(600):
        found, seconds, _ = take(40, 400, 20_000, limits)
        if found is None:
            assert 0 < seconds < 2
        else:
            granted = [granted[0] + found[0], granted[1] + found[2]]
        pass_time(0.1)
    elapsed = 60 + time.monotonic() - started
    most = 1_000_000 / 60 * SHARE
    assert granted[1] <= most * (elapsed + 1)
    assert granted[1] >= most * 60 * 0.98
    assert granted[0] <= 3000 / 60 * SHARE * (elapsed + 1) + 1


@pytest.mark.parametrize(
    "limits", [(3.0, None, 10_000.0), (1.0, 1.0, 1.0), (100_000.0, None, 100.0), (0.5, None, None)]
)
@pytest.mark.parametrize("background", [False, True])
def test_any_limit_lets_something_through(transactional_db, limits, background):
    """Of one call or token a minute as well, for a batch of any size; and the wait that is said is enough."""
    for wanted in ((1, 1, 10), (50, 5000, 10**7)):
        for _ in range(3):
            granted, seconds, _ = take(*wanted, limits, background=background)
            if granted is None:
                pass_time(seconds)
                granted, seconds, _ = take(*wanted, limits, background=background)
            assert granted is not None
            assert granted[0] >= 1
            pass_time(max(seconds, 1))


def test_burst_is_bounded_however_long_nothing_was_sent(transactional_db):
    limits = (600.0, None, 60_000.0)
    take(1, 1, 1, limits)
    pass_time(3600)
    granted, seconds, per_minute = take(10_000, 10_000, 10**9, limits)
    assert granted[0] == int(600 / 60 * SHARE * 6)
    assert granted[2] == pytest.approx(60_000 / 60 * SHARE * 6)
    assert seconds > 0
    assert per_minute == list(limits)


def test_background_leaves_a_quarter_to_fresh_writes(transactional_db):
    limits = (None, None, 60_000.0)
    take(1, 1, 1, limits)
    pass_time(60)
    whole = 60_000 / 60 * SHARE * 6
    granted, _, _ = take(1, 1, 10**9, limits, background=True)
    assert granted[2] == pytest.approx(0.75 * whole)
    refused, seconds, _ = take(1, 1, 10**9, limits, background=True)
    assert refused is None
    assert seconds > 0
    fresh, _, _ = take(1, 1, 1000, limits)
    assert fresh == [1, 1, 1000], "at once, though a backfill waits"


def test_workers_share_one_bucket(transactional_db):
    limits = (6_000_000.0, None, 600_000.0)
    take(1, 1, 1, limits)
    pass_time(60)
    granted = []
    started = time.monotonic()

    def drain():
        for _ in range(50):
            found, _, _ = take(1, 1, 3_000, limits)
            granted.append(found[2] if found else 0)
        connections.close_all()

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    elapsed = time.monotonic() - started
    assert 55_000 <= sum(granted) <= 60_000 + 10_000 * (elapsed + 0.1)


def test_models_and_providers_have_rates_of_their_own(transactional_db):
    limits = (1.0, None, None)
    assert take(1, 1, 1, limits)[0] is not None
    assert take(1, 1, 1, limits)[0] is None
    assert take(1, 1, 1, limits, model="other")[0] is not None


def test_headers_are_learnt_and_the_settings_come_first(transactional_db):
    correct(reported=(600.0, 60_000.0))
    assert take(1, 1, 1)[2] == [600.0, None, 60_000.0]
    assert take(1, 1, 1, (10.0, 20.0, None))[2] == [10.0, 20.0, 60_000.0]
    correct(reported=(None, 90_000.0))
    assert take(1, 1, 1)[2] == [600.0, None, 90_000.0], "the last word counts, and silence changes nothing"


def test_what_others_use_of_the_account_is_heeded(transactional_db):
    limits = (None, None, 60_000.0)
    take(1, 1, 1, limits)
    pass_time(60)
    correct(remaining=(None, 5.0), reported=(None, 60_000.0))
    ProviderRate.objects.update(filled_at=ProviderRate.objects.get().filled_at)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pgknowbase_provider_rate SET filled_at = clock_timestamp()")
    granted, seconds, _ = take(1, 1, 3_000, limits)
    assert granted is None
    assert seconds > 0


def test_429_empties_the_bucket_for_all(transactional_db):
    limits = (600.0, None, 60_000.0)
    take(1, 1, 1, limits)
    pass_time(60)
    correct(throttled=True)
    assert take(1, 1, 10, limits)[0] is None


def test_what_was_not_used_comes_back_and_what_was_used_beyond_is_owed(transactional_db):
    limits = (None, None, 60_000.0)
    take(1, 1, 1, limits)
    pass_time(60)
    take(1, 1, 4_000, limits)
    before = ProviderRate.objects.get().tokens
    correct(given=(0.0, 0.0, 1_000.0))
    assert ProviderRate.objects.get().tokens == pytest.approx(before + 1_000)
    correct(given=(0.0, 0.0, -50_000.0))
    assert ProviderRate.objects.get().tokens < 0
    refused, seconds, _ = take(1, 1, 10, limits)
    assert refused is None
    assert seconds > 40


# What an executor makes of it


@pytest.fixture
def quota():
    return Quota(requests_per_minute=3000, tokens_per_minute=60_000)


@pytest.fixture
def provider(quota):
    with FaultyProvider(model="limited", dimensions=256, quota=quota) as made:
        yield made


@pytest.fixture
def project(provider, settings, transactional_db):
    """A project whose provider has limits, and a way to change its entry of EMBEDDINGS."""

    def change(**entry):
        made = {**provider.settings(MAX_TEXTS=8), **entry}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": {"default": made}}

    OutboxEvent.objects.all().delete()
    standing = settings.PGKNOWBASE
    change()
    rebuild_space("default")
    yield change
    settings.PGKNOWBASE = standing
    rebuild_space("default")


def write(count, name="note"):
    Note.notes.bulk_create(Note(text=f"{name} {n:04} " + "word " * 40) for n in range(count))


def backfill(count):
    write(count, "backfill")
    OutboxEvent.objects.all().delete()
    sync_model(Note)


def render():
    while not Relay().run_once().idle:
        pass


def embedded(name=""):
    found = ExternalData.objects.filter(status="completed").values_list("object_key", flat=True)
    return Note.notes.filter(pk__in=list(found), text__startswith=name).count()


def test_all_is_embedded_at_the_rate_and_none_refused(provider, quota, project):
    """Limits that nobody has set: the first answer says them."""
    write(60)
    started = time.monotonic()
    Worker().run_until_idle()
    seconds = time.monotonic() - started
    assert embedded() == 60
    assert quota.throttled == 0
    assert provider.books.tokens <= 60_000 / 60 * (seconds + 6)
    row = ProviderRate.objects.get()
    assert (row.provider, row.model) == ("127.0.0.1", "limited")
    assert (row.requests_per_minute, row.tokens_per_minute) == (3000, 60_000)
    assert not ProviderOutage.objects.exists()


def test_settings_limit_a_provider_that_says_nothing(provider, quota, project):
    quota.has_headers = False
    project(REQUESTS_PER_MINUTE=100_000, TEXTS_PER_MINUTE=600, TOKENS_PER_MINUTE=1_000_000)
    write(40)
    started = time.monotonic()
    Worker().run_until_idle()
    assert embedded() == 40
    assert provider.books.texts - 10 <= 10 * (time.monotonic() - started) + 1
    assert {len(request["input"]) for request in provider.requests} <= set(range(1, 9))


def test_document_larger_than_the_rate_is_embedded_part_by_part(provider, quota, project):
    project(TOKENS_PER_MINUTE=60_000)
    Note.notes.create(text=" ".join(f"long{n}" for n in range(6000)))
    Worker().run_until_idle()
    assert embedded("long0") == 1
    assert quota.throttled == 0
    assert len(provider.requests) > 1
    assert len(provider.texts) == len(set(provider.texts)), "no part is paid twice"


def test_calls_fit_into_a_small_rate(project):
    """Ten thousand tokens and three calls a minute, as Voyage gives without a card: no call larger than a third."""
    project(REQUESTS_PER_MINUTE=3, TOKENS_PER_MINUTE=10_000)
    rate, embedder = Rate("default", "default"), get_embedder()
    texts = ["word " * 200] * 100
    limits = BatchLimits(256, 200_000)
    rate.take(embedder, texts, limits, background=False)
    fitting = rate.limits(limits)
    assert fitting.max_characters == pytest.approx(10_000 / 3 * 4, rel=0.01)


def test_fresh_writes_pass_a_backfill_that_waits(provider, project):
    project(TOKENS_PER_MINUTE=60_000)
    backfill(50)
    render()
    with Executor() as executor:
        while not (batch := executor.run_once()).rate_wait:
            assert not batch.idle
        waiting = 50 - embedded("backfill")
        assert waiting > 0
        # As far down as a backfill may go: the rest is for fresh writes.
        ProviderRate.objects.update(tokens=60_000 / 60 * SHARE * 6 / 4)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pgknowbase_provider_rate SET filled_at = clock_timestamp()")
        executor.admission.rate._closed_until = {False: 0.0, True: time.monotonic() + 3600}
        write(1, "fresh")
        render()
        batch = executor.run_once()
        assert batch.written == 1
        assert embedded("fresh") == 1
        assert 50 - embedded("backfill") == waiting


def test_exhausted_rate_of_one_provider_stops_no_other(provider, project, settings):
    project(REQUESTS_PER_MINUTE=1)
    with FaultyProvider(model="other", dimensions=256) as other, Executor() as executor:
        write(1)
        render()
        executor.run_once()
        assert embedded() == 1
        write(1, "second")
        render()
        assert executor.run_once().rate_wait > 0
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": {"default": other.settings()}}
        rebuild_space("default")
        with Executor() as beside:
            while not beside.run_once().idle:
                pass
        assert embedded() == 2
        assert other.books.texts > 0


def test_documents_that_wait_for_the_rate_have_no_error_and_no_attempt(project):
    project(REQUESTS_PER_MINUTE=1)
    write(20)
    render()
    with Executor() as executor:
        while not executor.run_once().written:
            time.sleep(0.01)
        batch = executor.run_once()
    assert batch.rate_wait > 0
    assert (batch.retried, batch.failed) == (0, 0)
    waiting = ExternalData.objects.exclude(status="completed")
    assert waiting.count() == 20 - 8
    assert set(waiting.values_list("status", "error")) == {("pending", "")}


def test_question_for_the_model_counts_as_a_call(provider, project):
    rate = Rate("default", "default")
    with Executor() as executor:
        executor.admission.rate = rate
        executor._model.note = rate.note
        write(1)
        render()
        executor.run_once()
    assert provider.books.probes == 1
    assert provider.books.calls == 2
    assert ProviderRate.objects.get().requests_per_minute == 3000


def test_first_batch_keeps_to_limits_that_the_question_for_the_model_has_shown(provider, quota, project):
    """Many calls that are ready at once, before any of them has been answered."""
    project(OPTIONS={**provider.settings()["OPTIONS"], "MAX_TEXTS": 1})
    quota._buckets["requests"].left = 60
    write(100)
    render()
    with Executor(concurrency=8) as executor:
        executor.run_once()
    assert quota.throttled == 0
    assert 0 < len(provider.requests) <= 3000 / 60 + 10


def test_headers_of_a_failing_call_count_too(project):
    rate, embedder = Rate("default", "default"), get_embedder()
    rate.note(Call(["a"], failed=True, throttled=True, rate=ReportedRate(requests=60.0, tokens=6_000.0)))
    rate.correct(embedder)
    assert rate.take(embedder, ["text"], embedder.limits, background=False) == 0
    assert rate.seconds_closed(backfill=False) > 0
