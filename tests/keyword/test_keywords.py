"""The words follow the documents, whoever changes them, in the same transaction."""

import threading

import pytest
from django.db import connection, transaction

from tests.keyword.conftest import sql

KEYWORDS = "SELECT id, language, words::text, length FROM pgknowbase_keywords ORDER BY id"
CORPUS = (
    "SELECT source, language, sum(documents)::int, sum(words)::int FROM pgknowbase_corpus"
    " GROUP BY 1, 2 HAVING sum(documents) <> 0 ORDER BY 2"
)


def truth():
    """What the corpus should be, from the documents alone."""
    return sql(
        "SELECT d.source, d.language, count(*)::int, coalesce(sum(n.words), 0)::int FROM pgknowbase_document AS d"
        " CROSS JOIN LATERAL (SELECT sum(cardinality(u.positions)) AS words"
        " FROM unnest(pgknowbase_words_v1(d.language, d.title || E'\\n' || d.content)) AS u) AS n"
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
    assert sql(KEYWORDS)[:2] == [
        ("1", "simple", "'cats':2 'green':1 'run':3", 3),
        ("2", "english", "'blue':2 'sky':1", 2),
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
    assert sql(CORPUS) == truth() == [(source, "english", 76, 25 * 3 + 51 * 2)]
    sql("SELECT pgknowbase_corpus_fold_v1()")
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


@pytest.mark.django_db(transaction=True)
def test_two_writers_and_a_folder_do_not_wait_for_each_other(put, source):
    put({"1": "one"})
    folded = threading.Event()

    def fold():
        with transaction.atomic():
            sql("SELECT pgknowbase_corpus_fold_v1()")
            sql("INSERT INTO pgknowbase_document VALUES (%s, '3', '', 'three words here', 'simple')", source)
        folded.set()
        connection.close()

    with transaction.atomic():
        sql("INSERT INTO pgknowbase_document VALUES (%s, '2', '', 'two', 'simple')", source)
        sql("SELECT pgknowbase_corpus_fold_v1()")
        thread = threading.Thread(target=fold)
        thread.start()
        assert folded.wait(30)
    thread.join()
    assert sorted(row[0] for row in sql(KEYWORDS)) == ["1", "2", "3"]
    assert sql(CORPUS) == truth()
