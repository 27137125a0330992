"""Blocks of postings: searches find what they would by scoring every document, whatever changes meanwhile."""

import random
import threading

import pytest
from django.db import connection, transaction

from pgknowbase.core.server_limits import PortionSize
from pgknowbase.worker import Worker, loop
from tests.integration.keywords.conftest import gather, refresh, sql
from tests.integration.keywords.test_bm25 import VOCABULARY, bm25, corpus
from tests.projects.blog.models import Article

BLOCKS = "SELECT block, last FROM pgknowbase_postings_block ORDER BY block"
QUERIES = ("zebra", "zebra newt", "carp owl toad", "zebra zebra lion tiger bear", "newt rareword", "nothing")


def sample(common=20):
    sql("SELECT pgknowbase_word_sample(common => %s)", common)


def assert_finds_the_best(*queries, hits=5, **filters):
    """With few documents scored, the same as with all of them, which are when their keys are given."""
    keys = [key for (key,) in sql("SELECT DISTINCT id FROM pgknowbase_keywords")]
    for query in queries or QUERIES:
        whole = bm25(query, 2000, most_candidates=60, object_keys=keys, **filters)
        cut = bm25(query, hits, most_candidates=60, **filters)
        assert [score for _, score in cut] == pytest.approx([score for _, score in whole[:hits]]), query
        assert dict(cut) == pytest.approx({key: dict(whole)[key] for key, _ in cut})


@pytest.fixture(params=[20, 200], ids=["most words common", "most words rare"])
def gathered(put, request):
    """360 documents in two blocks."""
    put(corpus(300), "simple")
    sql("UPDATE pgknowbase_document SET content = content || ' rareword' WHERE id IN ('7', '8')")
    refresh()
    sample(request.param)
    assert gather(100) == 1
    put({f"more{key}": text for key, text in corpus(60, seed=8).items()}, "simple")
    assert gather(60) == 1


@pytest.mark.django_db
def test_changes_count_at_once(gathered, put):
    assert_finds_the_best()
    put({"new": "zebra " * 50}, "simple")
    best = bm25("zebra", 3, most_candidates=60)
    assert best[0][0] == "new"
    assert_finds_the_best()
    sql("DELETE FROM pgknowbase_document WHERE id = %s", best[0][0])
    sql("UPDATE pgknowbase_document SET content = repeat('newt ', 50) WHERE id = %s", best[1][0])
    refresh()
    assert not {best[0][0], best[1][0]} & set(dict(bm25("zebra", 300)))
    assert bm25("newt", 1, most_candidates=60)[0][0] == best[1][0]
    assert_finds_the_best()
    assert gather(1) == 1
    assert_finds_the_best()


@pytest.mark.django_db
def test_filters_sources_and_viewers(gathered, put, source):
    put({f"small{n}": "zebra lion" for n in range(3)}, "simple", source=source + 1)
    put({f"p{n}": "zebra " + "lion " * n for n in range(40)}, "simple", public=False, metadata='{"p": true}')
    assert gather(20) == 1
    assert {key for key, _ in bm25("zebra lion", 5, most_candidates=60, sources=[source + 1])} == {
        "small0",
        "small1",
        "small2",
    }
    assert_finds_the_best("zebra lion", "tiger", metadata='{"p": true}')
    assert_finds_the_best("zebra lion", "zebra -lion", '"zebra lion"', sources=[source])
    assert not [key for key, _ in bm25("zebra lion", 20, most_candidates=60, visible_to="") if key[0] == "p"]


@pytest.mark.django_db
def test_many_queries(gathered):
    chance = random.Random(5)
    assert_finds_the_best(*(" ".join(chance.choices(VOCABULARY, k=chance.randint(1, 6))) for _ in range(40)))


@pytest.mark.django_db
def test_index_of_words_is_asked_alone_for_what_the_blocks_do_not_have(gathered):
    """It has a list of what is not merged into it yet, which is read as a whole each time."""

    def scans_of(query):
        count = "SELECT pg_stat_get_xact_numscans('pgknowbase_keywords_words'::regclass)"
        ((before,),) = sql(count)
        assert len(bm25(query, 5, most_candidates=60)) == 5
        return sql(count)[0][0] - before

    # In a table that it knows to be small the planner would read all documents by their numbers.
    sql(
        "UPDATE pg_class SET reltuples = 1000000, relpages = pg_relation_size(oid) / 8192"
        " WHERE oid = 'pgknowbase_keywords'::regclass RETURNING true"
    )
    assert scans_of("zebra newt") == 0
    assert scans_of("zebra new*") > 0


@pytest.mark.django_db
def test_more_sources_than_a_block_tells_apart(put, source):
    put(corpus(300), "simple")
    for number in range(1, 71):
        put({f"only{number}": "carp toad" + " newt" * number}, "simple", source=source + number)
    put({f"last{key}": text for key, text in corpus(200, seed=6).items()}, "simple", source=source + 71)
    sample(400)
    assert gather(10) == 1
    for number in (1, 62, 63, 64, 70):
        found = bm25("newt toad", 5, most_candidates=60, sources=[source + number])
        assert [key for key, _ in found] == [f"only{number}"]
    assert_finds_the_best("newt", "toad carp newt", "zebra toad", sources=[source + 71])


@pytest.mark.django_db
def test_common_words_that_weigh_more_than_a_rare_one(put):
    put(corpus(300), "simple")
    put({f"r{n}": "unicorn" + " dodo" * 120 for n in range(30)}, "simple")
    sample(60)
    assert gather(10) == 1
    assert_finds_the_best("unicorn zebra lion tiger", "unicorn zebra")


@pytest.mark.django_db
def test_sources_of_a_block_of_their_own(put, source):
    put(corpus(150), "simple")
    sample(40)
    assert gather(10) == 1
    put({f"o{key}": text for key, text in corpus(400, seed=9).items()}, "simple", source=source + 1)
    assert gather(10) == 1
    for query in QUERIES:
        assert_finds_the_best(query, sources=[source])
        assert_finds_the_best(query, sources=[source, source + 1])


@pytest.mark.django_db
def test_word_that_is_no_longer_common(put):
    put({f"dodo{n}": "dodo " * (n % 4 + 1) + text for n, text in enumerate(corpus(30, seed=3).values())}, "simple")
    put(corpus(300), "simple")
    sample(20)
    assert gather(10) == 1
    sample(80)
    put({f"late{n}": "dodo " * (n % 4 + 1) + text for n, text in enumerate(corpus(20, seed=4).values())}, "simple")
    assert sql("SELECT pgknowbase_postings_gather_v1(10)")[0][0]
    assert sql("SELECT count(*) FROM pgknowbase_postings WHERE word = 'dodo'") == [(1,)]
    assert_finds_the_best("dodo", "dodo newt", "zebra dodo")


@pytest.mark.django_db
def test_small_blocks_join_larger_ones(put):
    put(corpus(40), "simple")
    sample()
    for start in range(8):
        put({f"{start}-{key}": text for key, text in corpus(10, seed=start).items()}, "simple")
        gather(10)
        assert_finds_the_best("zebra lion")
    blocks = sql(BLOCKS)
    assert len(blocks) <= 4
    assert [first for first, _ in blocks[1:]] == [last + 1 for _, last in blocks[:-1]]
    assert blocks[-1][1] == sql("SELECT max(number) FROM pgknowbase_keywords")[0][0]


@pytest.mark.django_db
def test_word_that_becomes_common_comes_into_all_blocks(gathered, put):
    put({f"upstart{n}": "upstart lion" + " dodo" * (n < 25) for n in range(200)}, "simple")
    assert gather(10) == 1
    sample()
    assert gather(1000) == len(sql(BLOCKS))  # each is made anew
    assert gather(1000) == 0
    assert_finds_the_best("upstart zebra")
    assert sql("SELECT count(*) FROM pgknowbase_postings WHERE word = 'upstart'")[0][0] == 1


@pytest.mark.django_db
def test_blocks_of_documents_that_have_gone_are_given_up(gathered):
    size = "SELECT sum(last - block + 1)::int FROM pgknowbase_postings_block"
    # As after many changes: more numbers than twice the documents, and 16,000 more.
    for changed in ("more%", "2%"):
        sql("SELECT setval('pgknowbase_keywords_numbers', max(number) + 15000) FROM pgknowbase_keywords")
        sql("UPDATE pgknowbase_document SET title = 'changed' WHERE id LIKE %s", changed)
        refresh()
        assert sql("SELECT pgknowbase_postings_gather_v1(1) > 0") == [(True,)]
    assert sql(size)[0][0] > 16_000 + 2 * 360
    for _ in range(5):
        refresh()
        gather(1)
    assert sql(size)[0][0] <= 16_000 + 2 * 360
    assert_finds_the_best()


@pytest.mark.django_db
def test_truncate(gathered):
    sql("TRUNCATE pgknowbase_document")
    for table in ("postings", "rare_postings", "postings_block", "postings_word"):
        assert sql(f"SELECT count(*) FROM pgknowbase_{table}") == [(0,)]


@pytest.mark.django_db(transaction=True)
def test_documents_that_others_are_adding_are_not_passed_over(put):
    put(corpus(60), "simple")
    sample()
    put({"slow": "lion"}, "simple")
    sql("UPDATE pgknowbase_document SET content = repeat('zebra ', 50) WHERE id = 'slow'")

    def other():
        try:
            put({f"fast{n}": "zebra lion owl" for n in range(30)}, "simple")
            gather(1)
        finally:
            connection.close()

    with transaction.atomic():
        refresh()  # its numbers come before those of the other
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    slow = sql("SELECT number FROM pgknowbase_keywords WHERE id = 'slow'")[0][0]
    assert sql("SELECT max(last) < %s FROM pgknowbase_postings_block", slow) == [(True,)]
    assert bm25("zebra", 1, most_candidates=60)[0][0] == "slow"
    assert gather(1) == 1
    assert bm25("zebra", 1, most_candidates=60)[0][0] == "slow"
    assert sql("SELECT max(last) >= %s FROM pgknowbase_postings_block", slow) == [(True,)]


@pytest.mark.django_db(transaction=True)
def test_the_worker_gathers(put, monkeypatch):
    put(corpus(60), "simple")
    sample()
    monkeypatch.setattr(loop, "GATHERED_WHEN_IDLE", 20)
    Worker().run_until_idle()  # also what another has left
    assert sql("SELECT max(last) FROM pgknowbase_postings_block") == sql("SELECT max(number) FROM pgknowbase_keywords")
    sql("UPDATE pgknowbase_document SET title = 'changed'")
    Worker().run_until_idle()
    assert sql("SELECT max(last) FROM pgknowbase_postings_block") == sql("SELECT max(number) FROM pgknowbase_keywords")
    assert_finds_the_best("zebra changed")


@pytest.mark.django_db(transaction=True)
def test_no_small_blocks_are_made_while_the_relay_has_much_to_do(monkeypatch):
    monkeypatch.setattr(loop, "GATHERED_WHEN_IDLE", 4)
    gathered = []
    monkeypatch.setattr(Worker, "_gather", lambda worker, at_least: gathered.append(at_least))
    for number in range(12):
        Article.objects.create(title=f"Title {number}", body="Text.")
    worker = Worker(batch_size=4)
    worker._keywords_size, worker._ungathered = PortionSize(100), 0  # words are made faster than documents
    worker.run_until_idle()
    assert gathered == [4]
