"""The words follow the documents, whoever changes them: stale in the same transaction, anew by the worker."""

import threading

import pytest
from django.db import connection, transaction

from tests.integration.keywords.conftest import refresh, sql

KEYWORDS = "SELECT id, language, words::text, length FROM pgknowbase_keywords ORDER BY id"
STALE = "SELECT id FROM pgknowbase_keywords WHERE stale ORDER BY id"
CORPUS = (
    "SELECT source, language, sum(documents)::int, sum(words)::int FROM pgknowbase_corpus"
    " GROUP BY 1, 2 HAVING sum(documents) <> 0 ORDER BY 2"
)


def truth():
    """What the corpus should be, from the documents alone."""
    return sql(
        "SELECT d.source, d.language, count(*)::int, coalesce(sum(n.words), 0)::int FROM pgknowbase_document AS d"
        " CROSS JOIN LATERAL (SELECT sum(cardinality(u.positions)) AS words"
        " FROM unnest(pgknowbase_tokenize_document_v1(d.language, d.title || E'\\n' || d.content)) AS u) AS n"
        " GROUP BY 1, 2 ORDER BY 2"
    )


@pytest.mark.django_db
def test_insert_update_delete(put, source):
    put({"1": "red red dogs", "2": "blue"})
    put({"3": "rote Hunde"}, "german")
    assert sql(KEYWORDS) == [
        ("1", "english", "'dog':3 'red':1,2", 3),
        ("2", "english", "'blue':1", 1),
        ("3", "german", "'hund':2 'rot':1", 2),
    ]
    assert sql(CORPUS) == truth() == [(source, "english", 2, 4), (source, "german", 1, 2)]
    sql("UPDATE pgknowbase_document SET content = 'green cats run', language = 'simple' WHERE id = '1'")
    sql("UPDATE pgknowbase_document SET title = 'Sky' WHERE id = '2'")
    assert sql(STALE) == [("1",), ("2",)]
    assert sql(KEYWORDS)[0][2] == "'dog':3 'red':1,2"
    refresh()
    assert sql(STALE) == []
    assert sql(KEYWORDS)[:2] == [
        ("1", "simple", "'cats':2 'green':1 'run':3", 3),
        ("2", "english", "'blue':2 'sky':1A", 2),
    ]
    assert sql(CORPUS) == truth()
    sql("DELETE FROM pgknowbase_document WHERE id <> '2'")
    assert [row[0] for row in sql(KEYWORDS)] == ["2"]
    assert sql(CORPUS) == truth()


@pytest.mark.django_db
def test_upsert_of_a_batch_and_folding(put, source):
    put({str(n): f"text number {n}" for n in range(50)})
    sql(
        "INSERT INTO pgknowbase_document (source, id, title, content, language)"
        " SELECT %s, n::text, '', 'new words here', 'english' FROM generate_series(25, 75) AS n"
        " ON CONFLICT (source, id) DO UPDATE SET content = excluded.content",
        source,
    )
    assert len(sql(STALE)) == 51
    refresh()
    assert sql(CORPUS) == truth() == [(source, "english", 76, 25 * 3 + 51 * 2)]
    sql("SELECT pgknowbase_corpus_fold()")
    assert len(sql("SELECT * FROM pgknowbase_corpus")) == 1
    assert sql(CORPUS) == truth()


@pytest.mark.django_db
def test_truncate_and_rollback(put):
    put({"1": "one"})
    with transaction.atomic():
        put({"2": "two"})
        transaction.set_rollback(True)
    assert [row[0] for row in sql(KEYWORDS)] == ["1"]
    assert sql(CORPUS) == truth()
    sql("TRUNCATE pgknowbase_document")
    assert sql(KEYWORDS) == []
    assert sql(CORPUS) == truth() == []


@pytest.mark.django_db
def test_document_that_is_new_has_no_words_until_then(source):
    sql("INSERT INTO pgknowbase_document VALUES (%s, '1', '', 'red', 'klingon')", source)
    assert sql(KEYWORDS) == [("1", None, None, None)]
    assert sql(CORPUS) == []
    sql("DELETE FROM pgknowbase_document")
    assert sql(KEYWORDS) == sql(CORPUS) == sql("SELECT * FROM pgknowbase_corpus") == []
    sql("INSERT INTO pgknowbase_document VALUES (%s, '1', '', 'red', 'klingon')", source)
    refresh()
    assert sql(KEYWORDS) == [("1", "simple", "'red':1", 1)]


@pytest.mark.django_db
def test_common_words_are_known_by_source(put, source):
    put({str(n): "owl owl owl" if n % 4 else "crow owl with a tail" for n in range(40)}, "simple")
    put({"1": "owl"}, "simple", source=source + 1)
    sql("SELECT pgknowbase_word_sample(common => 20)")
    known = sql("SELECT source, word, documents, present FROM pgknowbase_word ORDER BY source, word")
    assert known == [(source, "'owl'", 40, 40)]
    sql("TRUNCATE pgknowbase_document")
    assert sql("SELECT * FROM pgknowbase_word") == []


@pytest.mark.django_db
def test_sample_is_taken_anew_when_the_corpus_has_grown(put, source):
    put({"1": "owl"})
    sql("INSERT INTO pgknowbase_corpus VALUES (%s, 'english', 6000, 12000)", source)
    sql("INSERT INTO pgknowbase_word VALUES (%s, %s, 6500, 100)", source, "'crow'")
    sql("SELECT pgknowbase_word_refresh()")
    assert sql("SELECT word, documents FROM pgknowbase_word") == [("'crow'", 6500)]
    sql("INSERT INTO pgknowbase_corpus VALUES (%s, 'english', 3000, 6000)", source)
    sql("SELECT pgknowbase_word_refresh()")
    assert sql("SELECT word, documents FROM pgknowbase_word") == [("'owl'", 9001)]


@pytest.fixture
def elsewhere():
    """Run something on a thread and connection of its own; the thread must end within the test."""
    threads = []

    def run(work):
        def job():
            try:
                work()
            finally:
                connection.close()

        threads.append(threading.Thread(target=job))
        threads[-1].start()
        return threads[-1]

    yield run
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_two_workers_and_a_writer_do_not_wait_for_each_other(put, source, elsewhere):
    put({"1": "one"})
    sql("INSERT INTO pgknowbase_document VALUES (%s, '2', '', 'two', 'simple')", source)

    def other():
        sql("INSERT INTO pgknowbase_document VALUES (%s, '3', '', 'three words here', 'simple')", source)
        refresh()
        sql("SELECT pgknowbase_corpus_fold()")

    with transaction.atomic():
        assert sql("SELECT pgknowbase_keywords_refresh_v1(1)") == [(1,)]
        sql("SELECT pgknowbase_corpus_fold()")
        thread = elsewhere(other)
        thread.join(30)
        assert not thread.is_alive()
    assert sql(STALE) == []
    assert sql(CORPUS) == truth()


@pytest.mark.django_db(transaction=True)
def test_change_during_a_refresh_is_not_lost(put, source, elsewhere):
    put({"1": "old"})
    sql("UPDATE pgknowbase_document SET content = 'newer'")
    with transaction.atomic():
        refresh()
        thread = elsewhere(lambda: sql("UPDATE pgknowbase_document SET content = 'newest'"))
        thread.join(0.5)
    thread.join(30)
    assert sql(STALE) == [("1",)]
    refresh()
    assert sql(KEYWORDS)[0][2] == "'newest':1"
    assert sql(CORPUS) == truth()
