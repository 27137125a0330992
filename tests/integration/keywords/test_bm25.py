"""BM25 in SQL against the formula written out, and what filters and the cut of candidates do to it."""

import json
import math
import random
from collections import Counter

import pytest

from tests.integration.keywords.conftest import gather, refresh, sql

pytestmark = pytest.mark.django_db
OPTIONS = ("k1", "b", "most_candidates", "also")
VOCABULARY = ["zebra", "lion", "tiger", "bear", "wolf", "fox", "hare", "owl", "crow", "toad", "newt", "carp"]


def bm25(query, limit=1000, **options):
    names = [f"{name} => %s" for name in options]
    filters = ", ".join(name for name in names if not name.startswith(OPTIONS))
    others = "".join(f", {name}" for name in names if name.startswith(OPTIONS))
    statement = f"SELECT object_key, score FROM pgknowbase_bm25(%s, %s, pgknowbase_filter_v1({filters}){others})"
    in_order = sorted(options, key=lambda name: name.startswith(OPTIONS))
    return sql(statement, query, limit, *(options[name] for name in in_order))


def reference(texts, query, k1=1.2, b=0.75):
    """Robertson's BM25 with Lucene's idf, over words that are split at spaces."""
    counts = {key: Counter(text.split()) for key, text in texts.items()}
    average = sum(sum(count.values()) for count in counts.values()) / len(counts)
    scores = {}
    for key, count in counts.items():
        for word in query.split():
            if count[word]:
                among = sum(1 for other in counts.values() if other[word])
                idf = math.log(1 + (len(counts) - among + 0.5) / (among + 0.5))
                dampened = count[word] + k1 * (1 - b + b * sum(count.values()) / average)
                scores[key] = scores.get(key, 0) + idf * count[word] * (k1 + 1) / dampened
    return scores


def corpus(size, seed=7):
    chance = random.Random(seed)
    weights = [1 / (n + 1) for n in range(len(VOCABULARY))]
    return {str(n): " ".join(chance.choices(VOCABULARY, weights, k=chance.randint(1, 40))) for n in range(size)}


@pytest.mark.parametrize("query", ["zebra", "carp newt", "zebra zebra carp", "lion owl toad missing", "missing"])
@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 1.0)])
def test_scores_are_those_of_the_formula(put, query, k1, b):
    texts = corpus(80)
    put(texts, "simple")
    expected = reference(texts, query, k1, b)
    found = bm25(query, k1=k1, b=b)
    assert dict(found) == pytest.approx(expected)
    assert [score for _, score in found] == pytest.approx(sorted(expected.values(), reverse=True))


def test_scores_are_the_same_whatever_order_they_are_added_up_in(put):
    """The sum of whole numbers is exact; that of other floats differs in its last digits from plan to plan."""
    put(corpus(80), "simple")
    found = bm25("lion owl toad carp newt")
    assert len(found) > 50
    assert all((score * 2**32).is_integer() for _, score in found)


def test_counts_are_those_of_the_text(put):
    texts = {str(n): " ".join(["owl"] * n + ["crow"]) for n in (1, 2, 3, 10, 50, 120, 199, 200, 201, 254, 300, 3000)}
    put(texts, "simple")
    assert dict(bm25("owl")) == pytest.approx(reference(texts, "owl"))


def test_texts_beyond_what_a_tsvector_tells(put):
    """Positions end at 16,383, and a word has at most 255 of them."""
    chance = random.Random(3)
    beginning = [f"word{n}" for n in range(17_000)]
    texts = {
        "long": " ".join([*beginning, *chance.choices(VOCABULARY, k=5000), "at_the_end"]).replace("_", ""),
        "longer": "(" + ");".join([*beginning, *chance.choices(VOCABULARY, k=90_000)]) + ")",
        "short": "zebra lion",
    }
    put(texts, "simple")
    texts["longer"] = texts["longer"].replace(");", " ").strip("()")
    lengths = {key: len(text.split()) for key, text in texts.items()}
    assert dict(sql("SELECT id, length FROM pgknowbase_keywords")) == lengths
    assert dict(sql("SELECT 1, sum(words)::int FROM pgknowbase_corpus")) == {1: sum(lengths.values())}
    for query in ("zebra", "lion zebra", "attheend", "word16999", "word1"):
        assert dict(bm25(query)) == pytest.approx(reference(texts, query))


def test_words_are_counted_one_by_one_only_where_a_tsvector_does_not_tell(put):
    """It takes five times as long as all the rest, so it is asked of those documents alone."""
    sql("SET LOCAL track_functions = 'all'")
    counted = "SELECT pg_stat_get_xact_function_calls('pgknowbase_count_words'::regproc)"
    put({str(n): "lion zebra owl" for n in range(20)}, "simple")
    assert sql(counted) == [(None,)]
    put({"often": "owl " * 300}, "simple")
    assert sql(counted) == [(1,)]


def test_of_more_words_than_a_tsvector_holds_the_longest_are_left_out(put):
    """Such as those of a file in base64."""
    coded = [f"{n:06}" + "x" * 1000 for n in range(1500)]
    put({"1": " ".join([*coded, *(f"word{n}" for n in range(3000))])}, "simple")
    assert sql("SELECT length FROM pgknowbase_keywords") == [(4500,)]
    assert [key for key, _ in bm25("word2999")] == ["1"]


@pytest.mark.parametrize(("character", "times"), [("茶", 4), ("水", 3), ("서", 2), ("물", 3)])
def test_a_single_character_counts_as_often_as_it_stands_there(put, character, times):
    text = "我喜欢红茶。茶叶和水、水、茶、绿茶。水! 서울에서 물을 물 물이"
    texts = {"1": text, "2": "x y z", "3": "u v " * 10}
    put(texts, "simple")
    lengths = dict(sql("SELECT id, length FROM pgknowbase_keywords"))
    spread = {key: " ".join(["x"] * length) for key, length in lengths.items()}
    spread["1"] = " ".join([character] * times + ["x"] * (lengths["1"] - times))
    assert dict(bm25(character)) == pytest.approx(reference(spread, character))


@pytest.mark.parametrize(
    "query", ["茶", "红茶", "喜", "서울", "서울에서", "서", "울", "에서", "Acme", "acme tm", "Einstein"]
)
def test_found_in_text_that_is_not_ascii(put, query):
    put({"1": "我喜欢红茶。 서울에서 Acme™ Einstein¹", "2": "nothing of it"}, "simple")
    assert [key for key, _ in bm25(query)] == ["1"]


@pytest.mark.parametrize("query", ["51", "49", "einsteinacme"])
def test_what_stands_side_by_side_is_not_one_word(put, query):
    put({"1": "5½ +49 Einstein™Acme"}, "simple")
    assert [key for key, _ in bm25(query)] == (["1"] if query == "49" else [])


def test_stop_word_of_most_documents_is_no_rare_word(put):
    put({str(n): f"the story of the wolf {n}" for n in range(20)})
    put({"100": "the the the les animaux"}, "french")
    put({"101": "a lion"}, "simple")
    assert bm25("the lion", 1)[0][0] == "101"
    assert dict(bm25("the lion"))["100"] < 0.2


def test_each_document_is_read_in_its_language(put):
    put({"1": "many dogs", "2": "many houses"})
    put({"3": "viele Häuser", "4": "viele Hunde"}, "german")
    put({"5": "数据库索引"}, "simple")
    assert [key for key, _ in bm25("dog")] == ["1"]
    assert [key for key, _ in bm25("Haus")] == ["3"]
    assert [key for key, _ in bm25("Hund")] == ["4"]
    assert [key for key, _ in bm25("数据库")] == ["5"]
    assert [key for key, _ in bm25("数")] == ["5"]


@pytest.fixture
def sampled(source):
    """A corpus of which the common words are known."""
    sql(
        "INSERT INTO pgknowbase_document (source, id, title, content, language)"
        " SELECT %s, key, '', value, 'simple' FROM jsonb_each_text(%s)",
        *(source, json.dumps(corpus(1500))),
    )
    sql(
        "INSERT INTO pgknowbase_externaldata (source_type, content_type_id, object_key, title, description,"
        " content_hash, metadata, tags, is_public, is_active, similarity_threshold, status, error, attempts,"
        " chunk_count) SELECT 'model', source, id, '', '', '', '{}', '{}', true, true, 0.5, 'completed', '', 0, 0"
        " FROM pgknowbase_document"
    )
    refresh()
    sql("SELECT pgknowbase_word_sample(common => 50)")
    gather(400)


@pytest.mark.parametrize(
    "wanted", ["zebra", "zebra newt", "carp owl toad", "zebra lion", "zebra lion tiger bear", "crow newt"]
)
def test_cut_of_candidates_keeps_the_best(sampled, wanted):
    """With room for one document in ten, the best are found all the same, also by words that most documents have."""
    whole, cut = dict(bm25(wanted, 1500)), bm25(wanted, 5, most_candidates=150)
    best = sorted(whole.values(), reverse=True)
    assert [score for _, score in cut] == pytest.approx(best[:5])
    assert dict(cut) == pytest.approx({key: whole[key] for key, _ in cut})


@pytest.mark.parametrize("most", [150, 10_000])
def test_scores_of_others_are_told_behind_the_best(sampled, most):
    whole = bm25("zebra lion", 1500)
    keys = [whole[place][0] for place in (2, 700, 300)]
    found = sql("SELECT array_agg(id) FROM pgknowbase_externaldata WHERE object_key = ANY (%s)", keys)
    told = bm25("zebra lion", 5, most_candidates=most, also=found[0][0])
    assert told == [(key, pytest.approx(score)) for key, score in (*whole[:5], whole[300], whole[700])]


def test_word_that_most_documents_have_counts_as_such(sampled):
    whole, cut = dict(bm25("zebra carp", 1500)), dict(bm25("zebra carp", 5, most_candidates=150))
    assert cut == pytest.approx({key: whole[key] for key in cut}, rel=0.05)


def test_filters_leave_as_many_as_pass(put, source):
    texts = corpus(400)
    put({key: text for key, text in texts.items() if int(key) % 100}, "simple")
    put({key: text for key, text in texts.items() if not int(key) % 100}, "simple", metadata='{"rare": true}')
    put({"private": "zebra zebra"}, "simple", public=False)
    sql("SELECT pgknowbase_word_sample(common => 10)")
    passing = sorted(key for key in ("0", "100", "200", "300") if "zebra" in texts[key])
    assert passing
    for most in (20, 10_000):
        assert sorted(key for key, _ in bm25("zebra", metadata='{"rare": true}', most_candidates=most)) == passing
        assert sorted(key for key, _ in bm25("zebra", object_keys=["0", "100"], most_candidates=most)) == [
            key for key in passing if key in ("0", "100")
        ]
        assert "private" not in dict(bm25("zebra", visible_to="", most_candidates=most))
        assert bm25("zebra", sources=[source + 1], most_candidates=most) == []
    assert "private" in dict(bm25("zebra"))


def test_looks_further_when_the_best_are_not_active(put):
    put({str(n): "zebra " + "owl " * n for n in range(150)})
    sql("UPDATE pgknowbase_externaldata SET is_active = false WHERE object_key::integer < 120")
    assert [key for key, _ in bm25("zebra", 2)] == ["120", "121"]


def test_scores_do_not_depend_on_filters(put):
    texts = corpus(50)
    put(texts, "simple")
    whole = dict(bm25("lion carp"))
    narrowed = dict(bm25("lion carp", object_keys=["1", "2", "3"]))
    assert narrowed == {key: whole[key] for key in ("1", "2", "3") if key in whole}


@pytest.mark.parametrize(
    "query", ["", "   ", "the of and", "!!! ... ???", "'; DROP TABLE pgknowbase_keywords; --", "a:*"]
)
def test_odd_queries(put, query):
    put({"1": "the story of a lion"})
    assert bm25(query) == []


def test_long_query_is_cut(put):
    put({"1": "w5 lion"}, "simple")
    assert [key for key, _ in bm25(" ".join(f"w{n}" for n in range(5000)))] == ["1"]
    assert bm25(" ".join(f"v{n}" for n in range(200)) + " lion") == []


def test_limit_below_one_finds_nothing(put):
    put({"1": "lion"})
    assert bm25("lion", 0) == bm25("lion", -5) == []
