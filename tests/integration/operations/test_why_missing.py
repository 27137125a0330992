"""Why an object is not found: one test for each reason."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from pgknowbase.errors import SearchError
from pgknowbase.models import Expansion, ExternalData, OutboxEvent
from pgknowbase.operations.why_missing import CODES, parsed_object, why_missing
from pgknowbase.sources.registry import source_of
from tests.integration.search.conftest import QUERY
from tests.projects.blog.models import Article, Category, Manual, Note

pytestmark = pytest.mark.django_db


@pytest.fixture
def articles(index, provider):
    made = [Article.objects.create(title=f"a{near}", body=f"near 0.{near} zebra") for near in range(1, 8)]
    index()
    return {row.title: row for row in made}


def why(row, query=QUERY, **options):
    return why_missing(query, source_of(type(row)), str(row.pk), using="default", **options)


def set_data(row, **fields):
    ExternalData.objects.of(row).update(**fields)


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_found(articles, mode):
    verdict = why(articles["a7"], mode=mode)
    assert verdict.codes == ("found",)
    assert verdict.rank is not None
    assert (verdict.similarity is None) is (mode == "keyword")
    assert (verdict.keyword_score is None) is (mode == "semantic")


def test_not_near_has_its_rank_and_score(articles):
    verdict = why(articles["a3"], limit=2)
    assert verdict.codes == ("not_near",)
    assert (verdict.rank, round(verdict.score, 2)) == (5, 0.3)
    assert "place 5 with the score 0.30" in str(verdict.reasons[0])


def test_not_near_beyond_the_furthest(articles, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"MAX_LIMIT": 3}}
    verdict = why(articles["a1"], limit=2)
    assert verdict.codes == ("not_near",)
    assert verdict.rank is None
    assert "not among the first 3; it has 0.10" in str(verdict.reasons[0])


def test_below_threshold(articles):
    set_data(articles["a3"], similarity_threshold=0.5)
    verdict = why(articles["a3"])
    assert verdict.codes == ("below_threshold",)
    assert (round(verdict.similarity, 2), verdict.threshold) == (0.3, 0.5)
    assert "0.3000 against 0.5000" in str(verdict.reasons[0])
    assert why(articles["a2"], threshold=0.25).codes == ("below_threshold",)
    assert why(articles["a2"], "near 1.0 zebra", threshold=0.9, mode="hybrid").codes == ("found",)
    assert why(articles["a2"], "zebra", threshold=50, mode="keyword").codes == ("below_threshold",)


def test_no_words(articles):
    assert why(articles["a2"], "horse", mode="keyword").codes == ("no_words",)


def test_no_row_and_other_model(articles):
    assert why_missing(QUERY, source_of(Article), "4711", using="default").codes == ("no_row",)
    assert why(articles["a7"], among=[Note]).codes == ("other_model",)


def test_outbox(articles):
    fresh = Article.objects.create(title="fresh", body="near 0.9")
    assert why(fresh).codes == ("outbox",)
    OutboxEvent.objects.all().delete()
    Expansion.objects.create(source="blog.Article", path="category", object_keys=["1"])
    verdict = why(articles["a3"], limit=2)
    assert verdict.codes == ("not_near", "outbox")
    assert "may concern this object" in str(verdict.reasons[1])


def test_not_indexed(index):
    assert why(Manual.objects.create(name="near 0.9")).codes == ("not_indexed",)


def test_hook_keeps_it_out(index):
    note = Note.notes.create(text="near 0.9", hidden=True)
    index()
    assert why(note).codes == ("hook",)


def test_hook_raises(index):
    note = Note.notes.create(text="near 0.9 explode")
    index()
    verdict = why(note)
    assert {"hook_failed", "failed"} <= set(verdict.codes)
    assert "told to explode" in str(verdict.reasons[0])


def test_dead_letter_has_its_error(articles):
    set_data(articles["a7"], status="failed", retry_at=None, error="the provider said no", attempts=8)
    assert "dead_letter" in why(articles["a7"]).codes
    assert any("after 8 attempts: the provider said no" in str(one) for one in why(articles["a7"]).reasons)


def test_queue(articles):
    from pgknowbase.relay.relay import Relay

    fresh = Article.objects.create(title="fresh", body="near 0.9")
    while not Relay().run_once().idle:
        pass
    assert why(fresh).codes == ("queue", "no_chunks")
    assert "stale_words" in why(fresh, "zebra", mode="keyword").codes


def test_inactive(articles):
    set_data(articles["a7"], is_active=False)
    assert why(articles["a7"]).codes == ("inactive",)


def test_not_visible(articles, monkeypatch):
    ann, bob = User.objects.create_user("ann"), User.objects.create_user("bob")
    set_data(articles["a7"], owner=ann)
    assert why(articles["a7"], visible_to=ann).codes == ("found",)
    verdict = why(articles["a7"], visible_to=bob)
    assert verdict.codes == ("not_visible",)
    assert f"private, user {ann.pk} owns it; asked as {bob.pk}" in str(verdict.reasons[0])
    assert why(articles["a7"], visible_to=None).codes == ("not_visible",)
    rule = classmethod(lambda cls, user: cls.objects.filter(title="a7") if user == bob else cls.objects.none())
    monkeypatch.setattr(Article, "visible_to", rule, raising=False)
    assert why(articles["a7"], visible_to=bob).codes == ("found",)
    assert why(articles["a7"], visible_to=ann).codes == ("not_visible",)


def test_filtered(articles, index):
    row = articles["a7"]
    Article.objects.filter(pk=row.pk).update(year=2026, category=Category.objects.create(name="birds"))
    index()
    assert why(row, metadata={"year": {"gte": 2020}}, tags=["birds"]).codes == ("found",)
    assert why(row, metadata={"year": {"gte": 2027}}).codes == ("filtered",)
    verdict = why(row, metadata={"year": 2025}, tags=["fish"])
    assert verdict.codes == ("filtered", "filtered")
    assert "{'year': 2026}" in str(verdict.reasons[0])
    assert "['birds']" in str(verdict.reasons[1])
    assert why(row, changed_from=timezone.now() + timedelta(days=1)).codes == ("filtered",)
    assert why(row, changed_before=timezone.now() - timedelta(days=1)).codes == ("filtered",)


def test_several_reasons_at_once(articles):
    set_data(articles["a7"], similarity_threshold=0.9)
    assert why(articles["a7"], visible_to=None).codes == ("not_visible", "below_threshold")
    set_data(articles["a7"], is_active=False)
    assert why(articles["a7"], visible_to=None).codes == ("inactive", "not_visible")


def test_keys_as_people_write_them(articles):
    assert parsed_object(" blog.Article:1:2 ") == ("blog.Article", "1:2")
    for text in ("", "blog.Article", "blog.Article:", ":1"):
        with pytest.raises(SearchError, match="names no object"):
            parsed_object(text)
    with pytest.raises(SearchError, match="NUL"):
        why_missing(QUERY, source_of(Article), "\x00", using="default")
    assert why_missing(QUERY, source_of(Article), "no number", using="default").codes == ("no_row",)


def test_every_reason_is_tested():
    from pathlib import Path

    text = Path(__file__).read_text()
    assert [code for code in CODES if f'"{code}"' not in text] == []
