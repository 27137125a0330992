"""A cap pauses backfills first, then all; nothing is lost, nothing paid twice, and a higher one resumes at once."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command

from pgknowbase.conf import get_settings
from pgknowbase.costs import caps as caps_module
from pgknowbase.costs.cap_status import cap_statuses
from pgknowbase.costs.report import cost_report
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.operations.doctor.work import caps as examine_caps
from pgknowbase.sources.registry import source_of
from pgknowbase.spaces.lifecycle import add_space, drop_space, space_settings
from pgknowbase.sync.backfill import sync_model
from pgknowbase.testing.provider import Fault
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = 40


def write(count, name="fresh"):
    """Notes of about the same number of tokens."""
    return Note.notes.bulk_create(Note(text=f"{name} {n:04} " + "word " * WORDS) for n in range(count))


def backfill(count):
    """Notes that no trigger has told of, brought in by hand."""
    write(count, "backfill")
    OutboxEvent.objects.all().delete()
    sync_model(Note)


def embedded(name=""):
    found = ExternalData.objects.filter(status="completed").values_list("object_key", flat=True)
    return Note.notes.filter(pk__in=list(found), text__startswith=name).count()


def errors():
    return set(ExternalData.objects.exclude(error="").values_list("error", flat=True))


@pytest.fixture
def tokens(provider, work):
    """What one of the notes is billed; the ledger knows how the model counts."""
    write(5, "known")
    work()
    return provider.books.tokens // 5


def command(name):
    out = io.StringIO()
    call_command(name, stdout=out)
    return out.getvalue()


def test_cap_is_kept_and_a_higher_one_resumes_at_once(provider, work, paid, tokens):
    paid(CAPS=[{"PER": "day", "TOKENS": 15 * tokens}])
    write(30)
    work()
    assert 5 + 5 <= embedded() <= 15
    assert provider.books.tokens <= 15 * tokens * 1.02
    assert ExternalData.objects.filter(status="pending").count() == 35 - embedded()
    assert any("COSTS['CAPS']" in error for error in errors())
    assert list(Note.notes.keyword_search("fresh 0029", limit=1)), "keyword search serves what waits"
    before = provider.books.tokens
    work()
    assert provider.books.tokens == before
    paid(CAPS=[{"PER": "day", "TOKENS": 1000 * tokens}])
    work()
    assert embedded() == 35
    assert errors() == set()
    assert len(provider.texts) == len(set(provider.texts)), "nothing is paid twice"
    assert cost_report("default").total.tokens == provider.books.tokens, "reservations are taken back"


def test_backfills_pause_first(provider, work, paid, tokens):
    paid(CAPS=[{"PER": "month", "COST": str(40 * tokens * 2 / 1_000_000), "BACKFILL": 0.5}])
    backfill(60)
    work()
    assert 10 <= embedded("backfill") <= 20
    assert cap_statuses("default")[0].state in {"open", "backfills wait"}
    write(10)
    work()
    assert embedded("fresh") == 10
    assert embedded("backfill") <= 20
    write(30, "more")
    work()
    assert embedded("more") < 30
    assert provider.books.tokens <= 40 * tokens * 1.02


def test_space_that_is_not_active_pauses_as_a_backfill_does(provider, work, paid, tokens):
    paid(CAPS=[{"PER": "day", "TOKENS": 20 * tokens, "BACKFILL": 0.25}])
    add_space("default", "other", space_settings("other", chunk_size=100, chunk_overlap=10))
    try:
        write(5)
        work()
        assert embedded("fresh") == 5
        assert provider.books.tokens <= 11 * tokens
    finally:
        drop_space("default", "other")


def test_tenant_at_its_cap_does_not_stop_others(provider, work, paid, tokens, django_user_model):
    ann, bob = (django_user_model.objects.create(username=name) for name in ("ann", "bob"))
    paid(CAPS=[{"PER": "day", "TOKENS": 5 * tokens, "TENANT": str(ann.pk)}])
    Article.objects.bulk_create(
        Article(title=f"{user.username} {n}", body="word " * WORDS, author=user)
        for n in range(20)
        for user in (ann, bob)
    )
    work()
    done = ExternalData.objects.filter(
        content_type_id=source_of(Article).content_type_id("default"), status="completed"
    )
    assert done.filter(owner=bob).count() == 20
    assert 0 < done.filter(owner=ann).count() < 6
    used = {row.name: row.tokens for row in cost_report("default", by="tenant").rows}
    assert used[str(ann.pk)] <= 5 * tokens * 1.02
    paid(CAPS=[{"PER": "day", "TOKENS": 500 * tokens, "TENANT": "*"}])
    work()
    assert done.filter(owner=ann).count() == 20


def test_cap_below_what_one_document_needs(provider, work, paid, tokens):
    paid(CAPS=[{"PER": "day", "TOKENS": 7 * tokens}])
    Note.notes.create(text=" ".join(f"long{n}" for n in range(1000)))
    write(1)
    work()
    assert embedded("fresh") == 1, "the others are not stopped by it"
    (error,) = errors()
    assert "The document needs about" in error
    assert "raise it in COSTS['CAPS']" in error


@pytest.mark.parametrize("said", [lambda tokens: None, lambda tokens: 1, lambda tokens: 10**9, lambda tokens: -tokens])
def test_provider_that_lies_about_usage_neither_opens_nor_closes_a_cap(provider, work, paid, tokens, said):
    paid(CAPS=[{"PER": "day", "TOKENS": 15 * tokens}])
    provider.report_tokens = said
    write(30)
    work()
    # Counted by characters then, which is not the model's own count.
    assert 5 + 5 <= embedded() <= 15 * 1.2
    assert provider.books.tokens <= 15 * 1.2 * tokens
    assert cost_report("default").total.estimated_tokens > 0
    assert len(provider.texts) == len(set(provider.texts)), "nothing is paid twice"


def test_text_by_which_a_worker_knows_its_model_is_under_the_caps(provider, work, paid, tokens):
    asked = provider.books.probes
    paid(CAPS=[{"PER": "day", "TOKENS": 1}])
    write(3)
    work()
    work()
    assert provider.books.probes == asked, "no worker asks at its cap, with documents that wait or without"
    assert any("COSTS['CAPS']" in error for error in errors())
    paid(CAPS=[{"PER": "day", "TOKENS": 1000 * tokens}])
    work()
    assert provider.books.probes == asked + 1
    assert embedded("fresh") == 3
    assert cost_report("default").total.tokens == provider.books.tokens


def test_cap_of_each_tenant_caps_no_text_that_is_nobodys(work, paid, tokens):
    paid(CAPS=[{"PER": "day", "TOKENS": 5 * tokens, "TENANT": "*"}])
    write(10)
    work()
    assert embedded("fresh") == 10
    assert cap_statuses("default") == []


@pytest.mark.parametrize("cap", [{"TOKENS": 0}, {"COST": 0}])
def test_cap_of_nothing(provider, work, paid, cap):
    paid(CAPS=[{"PER": "day", **cap}])
    write(3)
    work()
    assert provider.books.calls == 0
    assert embedded() == 0


def test_failed_call_gives_back_what_it_reserved(provider, work, paid, tokens):
    paid(CAPS=[{"PER": "day", "TOKENS": 12 * tokens}])
    provider.fail_next(Fault.server_error(503))
    write(6)
    for _ in range(20):
        work()
        if embedded("fresh") == 6:
            break
    assert embedded("fresh") == 6
    assert cost_report("default").total.tokens == provider.books.tokens


def test_next_day_begins_anew(work, paid, tokens, monkeypatch):
    paid(CAPS=[{"PER": "day", "TOKENS": 5 * tokens}])
    write(3)
    work()
    assert embedded("fresh") == 0
    tomorrow = caps_module.midnight() + timedelta(days=1)
    monkeypatch.setattr(caps_module, "midnight", lambda: tomorrow)
    work()
    assert embedded("fresh") == 3


def test_status_and_doctor_say_so(provider, work, paid, tokens):
    paid(CAPS=[{"PER": "day", "TOKENS": 5 * tokens}])
    (cap,) = cap_statuses("default")
    assert (cap.model, cap.state, cap.used) == ("paid", "all wait", provider.books.tokens)
    assert f"{cap.used:,} of {cap.limit:,} tokens a day are used of paid: all wait." in command("pgknowbase_status")
    (finding,) = examine_caps("default")
    assert finding.id == "costs.cap"
    paid(CAPS=[{"PER": "day", "TOKENS": 6 * tokens}])
    assert cap_statuses("default")[0].state == "backfills wait"
    paid(CAPS=[{"PER": "day", "TOKENS": 50 * tokens}])
    assert cap_statuses("default")[0].state == "open"
    assert list(examine_caps("default")) == []


@pytest.mark.parametrize(
    "cap", [{"PER": "day"}, {"PER": "week", "TOKENS": 1}, {"PER": "day", "TOKENS": -1}, {"PER": "day", "COST": "-0.1"}]
)
def test_wrong_cap_is_refused(paid, cap):
    paid(CAPS=[cap])
    with pytest.raises(ConfigurationError, match=r"COSTS\.CAPS\.0"):
        get_settings()
    paid()
