"""The second stage of searches, by a real server whose scores each test decides."""

import json
import re
import threading
from dataclasses import asdict
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from pgknowbase.agents import DjangoDeps
from pgknowbase.agents.toolsets.knowledge import search_knowledge
from pgknowbase.chat.retrieval import find_passages
from pgknowbase.core.cancelling import CancellableQueries
from pgknowbase.costs.ledger import query_usage
from pgknowbase.errors import SearchError
from pgknowbase.models import EmbeddingSpace, ExternalData, UsageEntry
from pgknowbase.operations.relevance.reranking import held_out
from pgknowbase.rerank import factory, stage
from pgknowbase.search import service
from pgknowbase.search.questions import SearchQuery
from pgknowbase.search.reranking import RerankRule, query_language
from tests.integration.search.conftest import QUERY
from tests.integration.telemetry.conftest import spans  # noqa: F401
from tests.models import cross_encoder_folder
from tests.projects.blog.models import Article
from tests.unit.embeddings.conftest import provider as http  # noqa: F401

pytestmark = pytest.mark.django_db
HTTP = "pgknowbase.rerank.HTTPReranker"


@pytest.fixture
def reranker(http, settings):  # noqa: F811
    """A server that ranks by the number behind 'worth'; call it to change its entry in RERANKERS."""

    def answer(body):
        found = [
            {"index": place, "relevance_score": float(re.search(r"worth (\d+)", text)[1])}
            for place, text in enumerate(body["documents"])
        ]
        return 200, {}, json.dumps({"results": found, "usage": {"total_tokens": 100}}).encode()

    def change(**keys):
        entry = {"BACKEND": HTTP, "MODEL": "m", "OPTIONS": {"URL": http.url}, "TIMEOUT": 20, **keys}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "RERANKERS": {"default": entry}}

    stage.forget()
    http.answer = answer
    change()
    yield change
    for each in factory.rerankers.built():
        if hasattr(each, "close"):
            each.close()
    factory.rerankers.forget()


@pytest.fixture
def articles(index, reranker):
    """Six articles, each nearer to QUERY than the next and of more worth than the one before."""
    for n in range(6):
        Article.objects.create(title=f"a{n}", body=f"worth {n} near {0.9 - 0.1 * n:.1f}")
    index()


def titles(rows):
    return [row.title for row in rows]


WAYS = (
    lambda **options: Article.objects.semantic_search(QUERY, **options),
    lambda **options: Article.objects.hybrid_search(QUERY, **options),
    lambda **options: Article.objects.keyword_search(QUERY, **options),
    lambda **options: Article.objects.filter(views=0).semantic_search(QUERY, **options),
    lambda **options: ExternalData.objects.search(QUERY, models=[Article], **options),
    lambda **options: ExternalData.objects.search(QUERY, mode="hybrid", **options),
)


@pytest.mark.parametrize("way", WAYS)
def test_the_best_hits_get_a_new_order(articles, reranker, way):
    before = way(limit=6)
    assert (before.reranked, sorted(titles(before))) == (None, [f"a{n}" for n in range(6)])
    found = way(limit=4, rerank="default", snippet_length=100)
    assert titles(found) == ["a5", "a4", "a3", "a2"]
    assert [row.rerank_score for row in found] == [5, 4, 3, 2]
    first = {title: place for place, title in enumerate(titles(before), 1)}
    assert [row.first_rank for row in found] == [first[row.title] for row in found]
    assert all(row.snippet for row in found)
    assert (found.reranked.name, found.reranked.state) == ("default", "done")
    reranker(CANDIDATES=2)
    found = way(limit=4, rerank="default")
    assert titles(found) == [*sorted(titles(before)[:2], reverse=True), *titles(before)[2:4]], "the others follow"
    assert [row.rerank_score is None for row in found] == [False, False, True, True]


def test_only_what_the_viewer_may_see_is_sent(articles, http):  # noqa: F811
    ann, bob = (get_user_model().objects.create_user(name) for name in ("ann", "bob"))
    ExternalData.objects.update(is_public=False, owner_id=str(bob.pk))
    ExternalData.objects.filter(title="a4").update(owner_id=str(ann.pk))
    assert titles(Article.objects.semantic_search(QUERY, rerank="default", visible_to=ann)) == ["a4"]
    assert [len(body["documents"]) for body in http.bodies] == [1]
    assert "a4" in http.bodies[0]["documents"][0]
    assert titles(Article.objects.filter(title="a2").semantic_search(QUERY, rerank="default")) == ["a2"]
    assert [len(body["documents"]) for body in http.bodies] == [1, 1], "nor what the queryset leaves out"


def test_pages_follow_each_other(articles, http):  # noqa: F811
    options = {"limit": 2, "rerank": "default"}
    assert titles(Article.objects.semantic_search(QUERY, offset=2, **options)) == ["a3", "a2"]
    shown, cursor = [], None
    for _ in range(3):
        page = Article.objects.semantic_search(QUERY, cursor=cursor, **options)
        shown, cursor = [*shown, *titles(page)], page.next_cursor
    assert shown == ["a5", "a4", "a3", "a2", "a1", "a0"]
    assert len(http.bodies) == 1, "the scores of the first page are those of the others"
    titles(Article.objects.semantic_search("near 0.7", **options))
    assert len(http.bodies) == 2
    with pytest.raises(SearchError, match="that of another search"):
        Article.objects.semantic_search(QUERY, cursor=page.cursor_after([1]), limit=2)


def test_many_texts_are_sent_in_batches(articles, reranker, http):  # noqa: F811
    reranker(OPTIONS={"URL": http.url, "MAX_TEXTS": 4})
    assert titles(Article.objects.semantic_search(QUERY, rerank="default"))[0] == "a5"
    assert [len(body["documents"]) for body in http.bodies] == [4, 2]


def test_a_late_answer_leaves_the_order_of_the_first_stage(articles, reranker, http, caplog):  # noqa: F811
    http.answer = lambda body: http.released.wait(60) and None
    reranker(TIMEOUT=0.2)
    found = Article.objects.semantic_search(QUERY, rerank="default", limit=3)
    assert titles(found) == ["a0", "a1", "a2"]
    assert found.reranked.state == "late"
    assert [(row.rerank_score, row.first_rank) for row in found] == [(None, 1), (None, 2), (None, 3)]
    assert "left the order of the first" in caplog.text
    root = get_user_model().objects.create_superuser("root")
    page = service.search(SearchQuery(query=QUERY, rerank="default", limit=3), viewer=root)
    assert (page.rerank, [result.title for result in page.results]) == ("late", ["a0", "a1", "a2"])
    explained = str(Article.objects.semantic_search(QUERY, rerank="default").explain_search())
    assert "second stage 'default' (m): late after" in explained


def test_whoever_fails_again_and_again_is_left_alone(articles, http):  # noqa: F811
    http.fixed(500, b"broken")

    def states(count):
        return [Article.objects.semantic_search(QUERY, rerank="default").reranked.state for _ in range(count)]

    assert states(5) == ["failed"] * 5
    assert len(http.bodies) == stage.MOST_FAILURES
    stage.forget()
    http.fixed(429, b"slowly", Retry_After="30")
    assert states(2) == ["failed"] * 2
    assert len(http.bodies) == stage.MOST_FAILURES + 1


def test_what_cannot_work_costs_the_second_stage_alone(articles, reranker, http):  # noqa: F811
    for options in ({"URL": http.url, "API_KEY_ENV": "NO_SUCH_KEY"}, {"URI": "x"}):
        reranker(OPTIONS=options)
        found = Article.objects.semantic_search(QUERY, rerank="default", limit=2)
        assert (titles(found), found.reranked.state) == (["a0", "a1"], "failed")
        stage.forget()


@pytest.mark.django_db(transaction=True)
def test_it_ends_with_its_request(articles, http):  # noqa: F811
    asked, queries, ended = threading.Event(), CancellableQueries("default"), []
    http.answer = lambda body: asked.set() or (http.released.wait(60) and None)

    def search():
        try:
            with queries.running():
                list(Article.objects.semantic_search(QUERY, rerank="default"))
        except OperationalError as error:
            ended.append(str(error))
        finally:
            connection.close()

    thread = threading.Thread(target=search)
    thread.start()
    assert asked.wait(60)
    queries.cancel()
    thread.join(10)  # half of what the second stage may take
    assert ended == ["Nobody waits for the result of this query any more."]


def test_what_it_cannot_be_combined_with(articles):
    for options, message in (
        ({"rerank": "other"}, r"rerank 'other' is unknown: pass 'off', or .* \(\['default'\]\)"),
        ({"rerank": True}, "rerank True is unknown"),
        ({"rerank": "default", "order_by": "updated"}, "an order of its own"),
        ({"rerank": "default", "include_pending": True}, "an order of its own"),
    ):
        with pytest.raises(SearchError, match=message):
            Article.objects.semantic_search(QUERY, **options)
    with pytest.raises(SearchError, match="rerank needs a search text"):
        Article.objects.similar_to(Article.objects.first(), rerank="default")
    response = Client().get("/api/knowledge/search/", {"query": QUERY, "rerank": "other"})
    assert (response.status_code, "unknown" in response.json()["detail"]) == (422, True)


def test_explanation_has_both_scores_and_ranks(articles):
    explained = Article.objects.semantic_search(QUERY, rerank="default", limit=2).explain_search()
    assert [(hit.rank, hit.first_rank, hit.rerank_score) for hit in explained.rerank.hits] == [(1, 6, 5), (2, 5, 4)]
    assert "1 was 6 (0.400 -> 5.000), 2 was 5 (0.500 -> 4.000)" in str(explained)


def test_knowledge_page_has_both_scores_and_ranks(articles, admin_client):
    shown = admin_client.get(reverse("admin:pgknowbase_knowledge"), {"q": QUERY, "mode": "semantic"})
    assert "second stage" not in shown.content.decode()
    asked = {"q": QUERY, "mode": "semantic", "rerank": "default"}
    page = admin_client.get(reverse("admin:pgknowbase_knowledge"), asked)
    assert [hit.data.title for hit in page.context["hits"]][:2] == ["a5", "a4"]
    assert "first stage: rank 6<br>second stage: 5.000" in page.content.decode()


def test_span_and_ledger(articles, http, spans):  # noqa: F811
    query_usage.forget()
    titles(Article.objects.semantic_search(QUERY, rerank="default"))
    made = spans.one("rerank m")
    assert made.attributes["pgknowbase.rerank.texts"] == 6
    assert (made.attributes["pgknowbase.rerank.state"], made.attributes["server.address"]) == ("done", "127.0.0.1")
    with_text = [str(value) for value in made.attributes.values()]
    assert not any("worth" in value or QUERY in value for value in with_text)
    figures = {"tokens": Sum("tokens"), "calls": Sum("calls")}
    connection.in_atomic_block, before = False, connection.in_atomic_block  # as outside of a test
    try:
        query_usage.write()
    finally:
        connection.in_atomic_block = before
    assert UsageEntry.objects.filter(kind="rerank", model="m").aggregate(**figures) == {"tokens": 100, "calls": 1}


# When searches have it


def save(**keys):
    rule = RerankRule(**{
        "name": "default", "backend": HTTP, "model": "m", "mode": "hybrid", "models": (),
        "languages": ("latin",), **keys,
    })  # fmt: skip
    EmbeddingSpace.objects.filter(is_active=True).update(rerank=[asdict(rule)])


def test_searches_have_it_where_it_is_known_to_gain(articles, reranker):
    def state(query=QUERY, **options):
        found = ExternalData.objects.search(query, **{"mode": "hybrid", **options}).reranked
        return None if found is None else found.state

    assert state() is None
    save()
    assert state() == "done"
    assert state(rerank="off") is None
    assert state(mode="semantic") is None
    assert state(models=[Article]) is None, "what was measured are searches of all models"
    assert state("near 1.0 the price of the bread is what") is None, "English queries were not"
    assert state(order_by="updated") is None
    save(models=("blog.Article",), languages=("english",))
    assert state("near 1.0 the price of the bread is what", models=[Article]) == "done"
    assert Article.objects.hybrid_search("near 1.0 the price of the bread is what").reranked.state == "done"
    reranker(MODEL="another")
    assert state("near 1.0 the price of the bread is what", models=[Article]) is None


def test_all_that_searches_has_it_then(articles, http):  # noqa: F811
    save()
    user = get_user_model().objects.create_superuser("root")
    asked = {"query": QUERY, "mode": "hybrid", "limit": 2}
    client = Client()
    client.force_login(user)
    answer = client.get("/api/knowledge/search/", asked).json()
    assert (answer["rerank"], [hit["title"] for hit in answer["results"]]) == ("done", ["a5", "a4"])
    assert [(hit["rerank_score"], hit["first_rank"]) for hit in answer["results"]] == [(5, 6), (4, 5)]
    assert client.get("/api/knowledge/search/", {**asked, "rerank": "off"}).json()["rerank"] is None
    assert [passage.title for passage in find_passages(QUERY, user)][:2] == ["a5", "a4"]
    assert len(http.bodies) == 1


def test_languages_of_queries():
    texts = (
        "what is the price of the bread",
        "gears",
        "自行车",
        "какая погода",
        "was ist der Preis für das Brot",
        "12",
    )
    assert [query_language(text) for text in texts] == ["english", "latin", "cjk", "cyrillic", "german", "none"]


# Measuring it


def tune(*arguments, **options):
    out, err = StringIO(), StringIO()
    call_command("pgknowbase_tune", "rerank", *arguments, stdout=out, stderr=err, verbosity=0, **options)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def labelled(index, reranker, settings, tmp_path):
    """Files of 20 queries, and of what answers them as the second stage sees it; a cross-encoder from a folder."""
    settings.PGKNOWBASE["RERANKERS"]["default"] = {
        "BACKEND": "pgknowbase.rerank.CrossEncoderReranker", "MODEL": "words", "TIMEOUT": 30,
        "OPTIONS": {"PATH": str(cross_encoder_folder(tmp_path / "model")), "THREADS": 1},
    }  # fmt: skip
    good, bad = (
        Article.objects.create(title=title, body=f"{body} near {near}")
        for title, body, near in (("good", "river flows north", 0.5), ("bad", "pump runs dry", 0.8))
    )
    index()
    queries = tmp_path / "queries.txt"
    queries.write_text("\n".join(f"near 1.0 river {n}" for n in range(20)), encoding="utf-8")

    def judged(right):
        file = tmp_path / "qrels.tsv"
        lines = "".join(f"{n}\t{right.pk}\t1\n" for n in range(1, 21))
        file.write_text(f"query-id\tcorpus-id\tscore\n{lines}", encoding="utf-8")
        return str(queries), str(file)

    return judged, good, bad


def test_what_gains_is_saved_and_what_does_not_is_refused(labelled):
    judged, good, bad = labelled

    def rules():
        return EmbeddingSpace.objects.get(is_active=True).rerank

    files = judged(good)
    found = json.loads(tune(*files, mode="semantic", format="json")[0])
    assert (found["reranked"], found["held_out"], found["unanswered"]) == (1, 1, 0)
    assert found["without"] < 1
    assert [(each["language"], each["queries"], each["gains"]) for each in found["languages"]] == [("latin", 20, True)]
    assert rules() == [], "it was not asked to save"
    assert "latin" in tune(*files, mode="semantic", save=True)[1]
    assert [(rule["mode"], rule["languages"], rule["models"]) for rule in rules()] == [("semantic", ["latin"], [])]
    assert ExternalData.objects.search("near 1.0 river").first().title == "good"
    tune(*files, "blog.Article", mode="semantic", save=True)
    assert [rule["models"] for rule in rules()] == [[], ["blog.Article"]]
    with pytest.raises(CommandError, match="does not rank held-out queries better"):
        tune(*judged(bad), mode="semantic", save=True)
    assert [rule["models"] for rule in rules()] == [["blog.Article"]], "what no longer gains is taken back"
    assert ExternalData.objects.search("near 1.0 river").first().title == "bad"
    with pytest.raises(CommandError, match=r"RERANKERS has \['default'\], and 'other' was named"):
        tune(*files, reranker="other")


def test_held_out_queries_have_no_say():
    """A gain of one query, or in some languages alone."""
    without = [0.5] * 40
    assert held_out(["english"] * 40, without, [0.9, *without[1:]]) == 0.5
    mixed = ["english", "german"] * 20
    assert held_out(mixed, without, [0.9, 0.1] * 20) == pytest.approx(0.7)
    assert held_out(mixed, without, [0.1, 0.1] * 20) == 0.5


def test_tool_of_agents_has_it(articles, http):  # noqa: F811
    save()
    user = get_user_model().objects.create_superuser("root")

    class Context:
        deps = DjangoDeps(user_id=user.pk)

    found = async_to_sync(search_knowledge)(Context(), QUERY, limit=2)
    assert ([each["title"] for each in found["results"]], found["rerank"]) == (["a5", "a4"], "done")
    stage.forget()
    http.fixed(500, b"broken")
    found = async_to_sync(search_knowledge)(Context(), QUERY, limit=2)
    first = titles(ExternalData.objects.search(QUERY, mode="hybrid", limit=2, rerank="off"))
    assert ([each["title"] for each in found["results"]], found["rerank"]) == (first, "failed")
    EmbeddingSpace.objects.update(rerank=[])
    assert "rerank" not in async_to_sync(search_knowledge)(Context(), QUERY, limit=2)
