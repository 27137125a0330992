"""Keyword and hybrid search on managers, across models and in SQL."""

from functools import partial

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from pgknowbase.embeddings.query_vectors import literal
from pgknowbase.errors import EmbeddingError, SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search.plan import KeywordStep
from tests.integration.search.conftest import QUERY, make_words, nearness
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db


@pytest.fixture
def animals(index, provider):
    """Four articles: their text says how near they are to any search text, and which words they have."""
    provider.vector = lambda text: nearness(text if "near" in text else QUERY)
    texts = {
        "both": "near 0.9 a zebra and a zebra",
        "meaning": "near 0.8 horses in stripes",
        "words": "near 0.1 the zebra",
        "neither": "near 0.0 a toad",
    }
    made = {title: Article.objects.create(title=title, body=text) for title, text in texts.items()}
    for n in range(30):
        Article.objects.create(title=f"filler {n}", body=f"near -0.{n + 10} something else")
    index()
    return made


def titles(rows):
    return [row.title for row in rows]


def test_keyword_search(animals):
    found = list(Article.objects.keyword_search("zebra"))
    assert titles(found) == ["both", "words"]
    assert found[0].score > found[1].score > 0
    assert found[0].similarity is None
    assert "zebra" in found[0].matched_chunk
    assert titles(Article.objects.keyword_search("zebra", threshold=found[0].score - 0.001)) == ["both"]
    assert titles(Article.objects.keyword_search("zebra", offset=1)) == ["words"]
    assert titles(Article.objects.filter(title__startswith="w").keyword_search("zebra")) == ["words"]
    assert titles(Article.keyword_search("zebra", limit=1)) == ["both"]


@pytest.mark.parametrize("asked", ["猫", "猫科", "zebra"])
def test_chunk_that_has_the_words(animals, index, asked):
    Article.objects.create(title="long", body=" ".join(f"{n}狗狗狗 filler" for n in range(400)) + " 猫科 zebra ende")
    index()
    found = {row.title: row for row in Article.objects.keyword_search(asked)}
    assert asked in found["long"].matched_chunk


def test_hybrid_search_finds_by_either_and_prefers_both(animals):
    found = list(Article.objects.hybrid_search("zebra", limit=4, threshold=0.5))
    assert titles(found) == ["both", "words", "meaning"]
    assert [row.similarity is not None for row in found] == [True, True, True]
    assert [row.score for row in found] == sorted((row.score for row in found), reverse=True)
    assert titles(Article.objects.hybrid_search("zebra", limit=2, threshold=-1, dense_weight=1))[0] == "both"
    assert len(Article.objects.hybrid_search("zebra", limit=50, threshold=-1)) == 34


def test_pages_follow_each_other(index, provider):
    provider.vector = lambda text: nearness(text if "near" in text else QUERY)
    for n in range(260):
        words = "zebra " * (n % 7) + "filler " * (n % 11)
        Article.objects.create(title=f"{n}", body=f"near 0.{999 - n} {words}")
    index()
    whole = list(Article.objects.hybrid_search("zebra", limit=200, threshold=-1))
    for limit, offset in ((10, 0), (10, 10), (50, 60), (1, 199)):
        page = list(Article.objects.hybrid_search("zebra", limit=limit, offset=offset, threshold=-1))
        told = [(row.title, pytest.approx(row.score)) for row in whole[offset : offset + limit]]
        assert [(row.title, row.score) for row in page] == told


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_pages_of_equal_scores_follow_each_other(index, provider, mode):
    """Rows need not have been indexed in the order of their keys, and pages are fetched by other statements."""
    provider.vector = lambda text: nearness(QUERY)
    for key in range(40, 0, -1):
        Article.objects.create(pk=key, title="same", body="zebra")
        if key % 10 == 0:
            index()
    index()
    query = QUERY if mode == "semantic" else "zebra"
    search = partial(getattr(Article.objects, f"{mode}_search"), query, threshold=0)
    whole = [row.pk for row in search(limit=40)]
    assert sorted(whole) == list(range(1, 41))
    assert [row.pk for offset in range(0, 40, 7) for row in search(limit=7, offset=offset)] == whole
    assert [row.pk for row in search(limit=40).filter(title="same")] == whole
    assert [row.pk for row in search(limit=40).reverse()] == whole[::-1]
    assert search(limit=40).last().pk == whole[-1]


def test_weight_decides(animals):
    only_words = titles(Article.objects.hybrid_search("zebra", limit=3, threshold=-1, dense_weight=0))
    assert set(only_words[:2]) == {"both", "words"}
    rank = {
        weight: titles(Article.objects.hybrid_search("zebra", limit=34, threshold=-1, dense_weight=weight)).index(
            "meaning"
        )
        for weight in (0, 0.45, 1)
    }
    assert rank[0] >= rank[0.45] >= rank[1]


def test_what_is_not_embedded_yet_is_found_by_its_words(animals, index):
    from pgknowbase.relay.relay import Relay

    Article.objects.create(title="fresh", body="near 0.2 a zebra from the relay alone")
    while not Relay().run_once().idle:
        pass
    make_words()
    found = {row.title: row for row in Article.objects.hybrid_search("zebra", threshold=0.5)}
    assert found["fresh"].similarity is None
    assert found["fresh"].matched_chunk is None
    assert "fresh" in titles(Article.objects.keyword_search("zebra"))
    assert "fresh" not in titles(Article.objects.semantic_search(QUERY, threshold=-1, limit=100))


def test_no_words_is_search_by_meaning(animals):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT h.object_key, h.score"
            " FROM pgknowbase_search_hybrid_v1('!!!', %s, 3, pgknowbase_filter_v1(threshold => -1)) AS h",
            [literal(nearness(QUERY))],
        )
        rows = cursor.fetchall()
    assert [row[0] for row in rows][:2] == [str(animals["both"].pk), str(animals["meaning"].pk)]
    assert rows[0][1] == pytest.approx(1)


def test_across_models(animals, index):
    Note.notes.create(text="near 0.3 a zebra in a note")
    index()
    found = ExternalData.objects.search("zebra", mode="keyword")
    assert {data.source_object._meta.model_name for data in found} == {"article", "note"}
    assert len(ExternalData.objects.search("zebra", mode="keyword", models=[Note])) == 1
    assert len(ExternalData.objects.search("zebra", mode="hybrid", threshold=0.5)) == 4
    with pytest.raises(SearchError, match="'words' is unknown: pass one of 'semantic', 'keyword', 'hybrid'"):
        ExternalData.objects.search("zebra", mode="words")


def test_async_twins(animals):
    async def both_legs():
        return [
            *await Article.objects.akeyword_search("zebra", limit=1),
            *await Article.objects.ahybrid_search("zebra", limit=1),
            *await Article.akeyword_search("zebra", limit=1),
            *await Article.ahybrid_search("zebra", limit=1),
        ]

    assert titles(async_to_sync(both_legs)()) == ["both"] * 4


def test_hybrid_needs_one_call_of_the_provider_and_keyword_none(animals, provider, monkeypatch):
    def fails(text):
        raise EmbeddingError("no provider: start one.")

    monkeypatch.setattr(provider, "embed_query", fails)
    assert titles(Article.objects.keyword_search("zebra", limit=1)) == ["both"]
    with pytest.raises(EmbeddingError):
        list(Article.objects.hybrid_search("never seen zebra"))


@pytest.mark.parametrize("weight", [-0.1, 1.1, "0.5", True, float("nan")])
def test_wrong_weight(weight):
    with pytest.raises(SearchError, match="pass a number from 0 to 1"):
        Article.objects.hybrid_search("zebra", dense_weight=weight)


@pytest.mark.parametrize("threshold", [-1, float("nan"), float("inf"), "1"])
def test_wrong_least_score(threshold):
    with pytest.raises(SearchError, match="pass a number from 0, or None"):
        Article.objects.keyword_search("zebra", threshold=threshold)


def test_explain_a_search_for_words(animals):
    shown = Article.objects.keyword_search("zebra").explain_search()
    assert (shown.plan, shown.found) == ("words_all", 2)
    assert (shown.steps[0].candidates, shown.steps[0].documents) == (2, 34)
    assert str(shown) == "every document with a word of the text scored: 2 of 34; 2 of 10 found"
    assert Article.objects.keyword_search("!!!").explain_search().plan == "words_none"
    assert Article.objects.none().keyword_search("zebra").explain_search().plan == "nothing"


def test_meaning_decides_where_words_cannot_find_the_text(animals, index):
    Article.objects.create(title="far", body="near -0.9 a quagga")
    index()
    search = partial(Article.objects.hybrid_search, threshold=-1, limit=2)
    asked = search("wie viele gestreifte quagga laufen heute hier herum")
    assert titles(asked) == ["both", "meaning"]
    (step,) = asked.explain_search().steps
    assert (step.agreement, step.coverage, step.weight) == (0, pytest.approx(1 / 8), 1)
    assert "agree by 0.00 and words cover 0.12 of the text, so meaning weighs 1.00" in str(asked.explain_search())
    assert titles(search("striped quagga"))[0] == "far", "half of the words are there"
    assert titles(search("wie viele gestreifte quagga laufen heute hier herum", dense_weight=0))[0] == "far"
    weak = search("wie viele gestreifte quagga laufen heute hier herum", dense_weight=0.09).explain_search()
    assert weak.steps[0].weight == pytest.approx(0.2), "of a weak model no more than its share"


def test_words_decide_where_the_model_cannot_read_the_text(animals, index, provider, monkeypatch):
    Article.objects.create(title="far", body="near -0.9 a quagga")
    index()
    search = partial(Article.objects.hybrid_search, "wie viele gestreifte quagga laufen heute hier herum", threshold=-1)
    assert titles(search(limit=1)) == ["both"]
    monkeypatch.setattr(provider, "reads", lambda text: False)
    asked = search(limit=4, dense_weight=0.9)
    assert titles(asked)[0] == "far"
    assert "meaning weighs nothing: it was asked for, or the model cannot read the text" in str(asked.explain_search())
    assert titles(Article.objects.hybrid_search("gestreift", threshold=-1, limit=1)) == ["both"], "no words at all"


def test_synonyms_count_as_words_of_the_text(animals, index, settings):
    Article.objects.create(title="far", body="near -0.9 a quagga")
    index()
    asked = "wie viele gestreifte laufen heute hier herum"
    settings.PGKNOWBASE = {
        **settings.PGKNOWBASE,
        "SEARCH": {"SYNONYMS": [[word, "quagga"] for word in asked.split()]},
    }
    assert titles(Article.objects.hybrid_search(asked, threshold=-1))[0] == "far"


def test_explain_a_search_by_both(animals):
    shown = Article.objects.hybrid_search("zebra", threshold=-1).explain_search()
    (step,) = shown.steps
    assert (shown.plan, shown.found) == ("exact_index+words_all", 10)
    assert (step.dense.found, step.keyword.found, step.dense_weight) == (34, 2, 0.45)
    assert (step.agreement, step.weight) == (1, 0.45)
    assert "agree by 1.00, so meaning weighs 0.45 of 0.45; 10 of 10 found" in str(shown)
    apart = Article.objects.hybrid_search("filler", threshold=-1, dense_weight=0.9).explain_search().steps[0]
    assert apart.agreement < 1
    assert apart.weight == pytest.approx(0.9 * min(1, apart.agreement / 0.5))
    across = ExternalData.objects.search("zebra", mode="hybrid").explain_search()
    assert across.plan == "exact_index+words_all"


@pytest.mark.parametrize(
    ("text", "options", "plan", "told"),
    [
        ("zebra", "", "words_all", {"candidates": 2}),
        ("zebra filler", "", "words_best", {"candidates": 3}),
        ("zebra", "object_keys => %(keys)s", "words_narrow", {"candidates": 1}),
        ("zebra filler", "tags => ARRAY['no']", "words_narrow", {"candidates": 0}),
        ("zebra filler -toad", "tags => ARRAY['no']", "words_retried", {"candidates": 0}),
    ],
)
def test_which_documents_were_scored_in_a_large_corpus(animals, text, options, plan, told):
    call = "SELECT count(*) FROM pgknowbase_search_keyword_v1(%(text)s, 1, pgknowbase_filter_v1({}), {})"
    others = "most_candidates => 3, record_plan => true"
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE pgknowbase_keywords, pgknowbase_externaldata")
        values = {"keys": [str(animals["both"].pk)], "text": text}
        cursor.execute(call.format(options, others), values)
        cursor.execute("SELECT current_setting('pgknowbase.keyword_plan', true)")
        step = KeywordStep.of(cursor.fetchone()[0], requested=1, found=1)
    assert step.plan == plan
    assert {name: getattr(step, name) for name in told} == told
    assert str(step)


@pytest.mark.parametrize("text", ["", " ", "nul\x00", "\ud800", 5, "x" * 10_001])
def test_wrong_text(text):
    for search in (Article.objects.keyword_search, Article.objects.hybrid_search):
        with pytest.raises(SearchError):
            search(text)


@pytest.mark.parametrize("text", ["'; DROP TABLE pgknowbase_keywords; --", "a & b | !c:*", "\\' \\\\ \"", "🦓 %s %%"])
def test_hostile_text_is_text(animals, text):
    list(Article.objects.keyword_search(text))
    list(Article.objects.hybrid_search(text))
    assert titles(Article.objects.keyword_search("zebra"))


def test_search_text_of_another_collation_reads_no_more(animals):
    """The parameters of a function take over the collation of what is passed, and an index serves one."""
    store = "FROM pg_stat_xact_user_tables WHERE relname ~ '^pgknowbase_store'"
    read = f"SELECT sum(seq_tup_read + idx_tup_fetch)::int {store}"
    with connection.cursor() as cursor:

        def chunks_read(query):
            cursor.execute(read)
            (before,) = cursor.fetchone()
            cursor.execute(f"SELECT count(chunk) FROM pgknowbase_search_keyword_v1({query}, 10)")
            assert cursor.fetchone() == (2,)
            cursor.execute(read)
            return cursor.fetchone()[0] - before

        cursor.execute("SET LOCAL enable_seqscan = off")
        assert chunks_read("'zebra' COLLATE \"C\"") == chunks_read("'zebra'") == 2
