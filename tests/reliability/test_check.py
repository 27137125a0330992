"""``sync_external_models --check`` and ``--repair``: drift is named and repaired; pending objects have not drifted."""

import json
import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from pgknowbase.models import Chunk, Document, ExternalData, OutboxEvent
from pgknowbase.spaces.specification import active_space
from tests.projects.blog.models import Article, Manual, Note
from tests.projects.press import models as press

pytestmark = pytest.mark.django_db(transaction=True)


def execute(sql, *params):
    space = active_space("default")
    names = {"store": space.store_table, "queue": f"ai._vectorizer_q_{space.vectorizer_id}"}
    with connection.cursor() as cursor:
        cursor.execute(sql.format(**names), params)


def run(*arguments, fails=None, **options):
    out = StringIO()
    if fails is None:
        call_command("sync_external_models", *arguments, stdout=out, stderr=StringIO(), verbosity=0, **options)
    else:
        with pytest.raises(CommandError, match=fails):
            call_command("sync_external_models", *arguments, stdout=out, stderr=StringIO(), verbosity=0, **options)
    return out.getvalue()


def checked(*arguments, fails=None):
    return json.loads(run(*arguments, "--check", "--format", "json", fails=fails))


@pytest.fixture
def articles(drain):
    made = Article.objects.bulk_create(
        [Article(title=f"Title {n}", body=f"Text {n} of this article. " * (1 + 20 * n), year=2020) for n in range(5)]
    )
    drain()
    (clean,) = checked("blog.Article")
    assert clean["rows"] == 5
    assert not clean["examples"]
    return made


def known(article):
    return ExternalData.objects.filter(object_key=str(article.pk))


def forge(article, **values):
    known(article).update(**values)


DRIFTS = {
    "missing": (
        lambda a: execute("DELETE FROM pgknowbase_externaldata WHERE object_key = %s", str(a.pk)),
        "missing",
        "",
    ),
    "title": (lambda a: forge(a, title="forged"), "stale", "title"),
    "content": (lambda a: forge(a, content_hash="forged"), "stale", "content"),
    "document": (lambda a: Document.objects.filter(id=a.pk).update(content="forged"), "stale", "document"),
    "no document": (lambda a: Document.objects.filter(id=a.pk).delete(), "stale", "document"),
    "metadata": (lambda a: forge(a, metadata={"year": 1}), "stale", "metadata"),
    "tags": (lambda a: forge(a, tags=["forged"]), "stale", "tags"),
    "owner": (lambda a: forge(a, owner_id=77), "stale", "owner"),
    "visibility": (lambda a: forge(a, is_public=True), "stale", "is_public"),
    "threshold": (lambda a: forge(a, similarity_threshold=0.9), "stale", "threshold"),
    "orphaned": (lambda a: unheard(lambda: Article.objects.filter(pk=a.pk).delete()), "orphaned", ""),
    "no chunks": (lambda a: execute("DELETE FROM {store} WHERE id = %s", str(a.pk)), "dangling", "no chunks"),
    "other chunks": (
        lambda a: execute("UPDATE {store} SET chunk = 'x' WHERE id = %s AND chunk_seq = 0", str(a.pk)),
        "dangling",
        "chunks of another text",
    ),
    "chunk count": (lambda a: forge(a, chunk_count=9), "dangling", "9 chunks counted, {chunks} stored"),
    "no words": (
        lambda a: execute("UPDATE pgknowbase_keywords SET words = NULL WHERE id = %s", str(a.pk)),
        "dangling",
        "no words",
    ),
    "other words": (
        lambda a: execute("UPDATE pgknowbase_keywords SET words = '''x'':1' WHERE id = %s", str(a.pk)),
        "dangling",
        "words of another text",
    ),
    "a word more": (
        lambda a: execute(
            "UPDATE pgknowbase_keywords SET words = words || '''^1stray'''::tsvector WHERE id = %s", str(a.pk)
        ),
        "dangling",
        "words of another text",
    ),
}


def unheard(change):
    """A change whose event is lost."""
    change()
    OutboxEvent.objects.all().delete()


@pytest.mark.parametrize("name", DRIFTS)
def test_each_drift_is_found_and_repaired(articles, drain, name):
    forge_it, kind, detail = DRIFTS[name]
    article = articles[2]
    detail = detail.format(chunks=Chunk.objects.filter(object_key=str(article.pk)).count())
    before = snapshot(articles) if kind != "orphaned" else None
    forge_it(article)
    execute("DELETE FROM {queue}")  # what a forged document queued would be pending, not drift
    (found,) = checked("blog.Article", fails="1 objects have drifted|2 objects have drifted")
    assert {"object_key": str(article.pk), "kind": kind, "detail": detail}.items() <= found["examples"][0].items()
    assert found[kind] >= 1
    assert found["pending"] == 0
    others = snapshot([one for one in articles if one != article])
    assert "Repaired" in run("blog.Article", "--repair")
    drain()
    (clean,) = checked("blog.Article")
    assert [clean[kind] for kind in ("missing", "stale", "orphaned", "dangling", "pending")] == [0] * 5
    assert snapshot([one for one in articles if one != article]) == others
    if before is not None:
        assert texts(snapshot(articles)) == texts(before)


def snapshot(articles):
    keys = [str(article.pk) for article in articles]
    return sorted(
        ExternalData.objects.filter(object_key__in=keys).values_list("object_key", "content_hash", "updated_at")
    )


def texts(rows):
    return [row[:2] for row in rows]


def test_chunks_without_document_or_row(articles, drain):
    source = ExternalData.objects.first().content_type_id
    execute(
        "INSERT INTO {store} (source, id, chunk_seq, chunk, embedding)"
        " SELECT %s, '999', 0, 'left over', embedding FROM {store} LIMIT 1",
        source,
    )
    (found,) = checked("blog.Article", fails="1 objects have drifted")
    assert found["examples"][0]["detail"] == "chunks without a document"
    run("blog.Article", "--repair")
    assert not Chunk.objects.filter(object_key="999").exists()
    assert Chunk.objects.filter(object_key=str(articles[0].pk)).exists()


def test_rows_that_come_with_a_child_table(articles, drain):
    """Postgres shows the rows of a child by INHERITS in its parent, and fires none of the parent's triggers."""
    execute("CREATE TABLE blog_child () INHERITS (blog_article)")
    execute("INSERT INTO blog_child (id, title, body, status, views) VALUES (9001, 'Child', 'of a table', '', 0)")
    (found,) = checked("blog.Article", fails="1 objects have drifted")
    assert found["missing"] == 1
    run("blog.Article", "--repair")
    drain()
    execute("DROP TABLE blog_child")
    (found,) = checked("blog.Article", fails="1 objects have drifted")
    assert found["orphaned"] == 1
    run("blog.Article", "--repair")
    assert checked("blog.Article")[0]["orphaned"] == 0


def test_a_filled_table_becomes_a_partition(drain):
    drain()
    execute("""CREATE TABLE lab.west (LIKE lab."mea'surement" INCLUDING ALL)""")
    execute("INSERT INTO lab.west (id, place, note) VALUES (1, 'west', 'windy'), (2, 'west', 'calm')")
    execute("""ALTER TABLE lab."mea'surement" ATTACH PARTITION lab.west FOR VALUES IN ('west')""")
    try:
        (found,) = checked("shapes.Measurement", fails="2 objects have drifted")
        assert found["missing"] == 2
        run("shapes.Measurement", "--repair")
        drain()
        assert checked("shapes.Measurement")[0]["missing"] == 0
    finally:
        execute("DROP TABLE lab.west")
    run("shapes.Measurement", "--repair")
    assert checked("shapes.Measurement")[0]["orphaned"] == 0


def test_words_without_a_document(articles, drain):
    source = ExternalData.objects.first().content_type_id
    execute("INSERT INTO pgknowbase_keywords (source, id, stale) VALUES (%s, '999', true)", source)
    (found,) = checked("blog.Article", fails="1 objects have drifted")
    assert found["examples"][0]["detail"] == "words without a document"
    run("blog.Article", "--repair")
    (clean,) = checked("blog.Article")
    assert clean["dangling"] == 0


def test_sums_of_the_corpus(articles, drain):
    execute("UPDATE pgknowbase_corpus SET words = words + 7 WHERE documents > 0")
    (found,) = checked("blog.Article", fails="1 objects have drifted")
    assert found["examples"][0]["object_key"] == "(corpus)"
    run("blog.Article", "--repair")
    (clean,) = checked("blog.Article")
    assert clean["dangling"] == 0
    articles[0].delete()
    drain()
    assert checked("blog.Article")[0]["dangling"] == 0


def test_vectors_of_other_texts(articles, drain):
    """Two objects' vectors are swapped and one is altered: only a sample of the embeddings shows it."""
    one, other, altered = (str(article.pk) for article in articles[:3])
    execute(
        "UPDATE {store} AS s SET embedding = o.embedding FROM {store} AS o"
        " WHERE (s.id, o.id) IN ((%s, %s), (%s, %s)) AND s.chunk_seq = 0 AND o.chunk_seq = 0",
        one, other, other, one,
    )  # fmt: skip
    execute(
        "UPDATE {store} SET embedding = (SELECT array_agg(-v) FROM unnest(embedding::real[]) AS v)::vector"
        " WHERE id = %s",
        altered,
    )
    assert checked("blog.Article")[0]["dangling"] == 0
    found = checked("blog.Article", "--embeddings", "1000", fails="3 objects have drifted")[0]
    assert [each["object_key"] for each in found["examples"]] == sorted([one, other, altered])
    assert "similarity" in found["examples"][0]["detail"]
    run("blog.Article", "--repair", "--embeddings", "1000")
    drain()
    assert checked("blog.Article", "--embeddings", "1000")[0]["dangling"] == 0


def test_a_sample_of_embeddings_needs_a_comparison():
    run("blog.Article", "--embeddings", "3", fails="goes with --check or --repair")


def test_row_that_the_hooks_keep_out_is_orphaned(drain):
    note = Note.notes.create(text="shown")
    drain()
    unheard(lambda: Note.notes.filter(pk=note.pk).update(hidden=True))
    (found,) = checked("blog.Note", fails="1 objects")
    assert (found["orphaned"], found["rows"]) == (1, 1)
    run("blog.Note", "--repair")
    assert not ExternalData.objects.exists()


def test_what_is_pending_has_not_drifted(articles, drain):
    Article.objects.filter(pk=articles[0].pk).update(title="new")
    Article.objects.create(title="brand new")
    Article.objects.filter(pk=articles[1].pk).delete()
    (found,) = checked("blog.Article")
    assert found["pending"] == 3
    run("blog.Article", "--repair")
    assert OutboxEvent.objects.count() == 3
    from pgknowbase.relay.relay import Relay

    Relay().run_once()
    (found,) = checked("blog.Article")
    assert found["pending"] == 2  # to be embedded
    drain()
    (found,) = checked("blog.Article")
    assert found["pending"] == 0


@pytest.mark.parametrize("relayed", [False, True])
def test_a_pending_related_change_is_not_drift(drain, relayed):
    author = press.Author.objects.create(name="old")
    press.Article.objects.bulk_create([press.Article(title=f"t{n}", body="b", author=author) for n in range(5)])
    drain()
    press.Author.objects.update(name="new")
    if relayed:
        from pgknowbase.relay.relay import Relay

        Relay(batch_size=2).run_once()
    (found,) = checked("press.Article")
    assert found["pending"] == 5
    assert found["stale"] == 0
    drain()
    assert checked("press.Article")[0]["pending"] == 0


def test_a_pending_truncate_is_not_drift(articles, drain):
    execute("TRUNCATE blog_article")
    (found,) = checked("blog.Article")
    assert (found["pending"], found["orphaned"]) == (5, 0)
    drain()
    assert not ExternalData.objects.exists()


def test_rows_that_cannot_be_rendered_are_passed_over(drain):
    Note.notes.create(text="good")
    Note.notes.create(text="explode")
    Note.notes.create(text="badquery")
    drain()
    (found,) = checked("blog.Note", fails="2 rows could not be rendered")
    assert (found["rows"], found["failed"], found["missing"], found["stale"]) == (3, 2, 0, 0)
    assert "told to explode" in str(found["failures"])


def test_manual_models_are_compared_when_named():
    Manual.objects.create(name="by hand")
    assert "blog.Manual" not in [one["model"] for one in checked()]
    (found,) = checked("blog.Manual", fails="1 objects")
    assert found["missing"] == 1


def test_table_and_examples(articles):
    forge(articles[0], title="forged", tags=["forged"])
    lines = run("blog.Article", "--check", fails="1 objects have drifted: repair them with").splitlines()
    assert " ".join(lines[0].split()) == "model rows missing stale orphaned dangling pending failed seconds"
    assert lines[2].split()[:8] == ["blog.Article", "5", "0", "1", "0", "0", "0", "0"]
    assert lines[3] == f"blog.Article {articles[0].pk}: stale (title, tags)"
    lines = run("blog.Article", "--repair").splitlines()
    assert lines[-1].startswith("Repaired 1: 0 created, 0 updated, 1 metadata")


def test_page_after_page_with_a_constant_number_of_queries(drain, django_assert_max_num_queries):
    Article.objects.bulk_create([Article(title=f"t{n}") for n in range(60)])
    drain()
    with django_assert_max_num_queries(70):
        (found,) = checked("blog.Article", "--batch-size", "20")
    assert (found["rows"], found["pending"]) == (60, 0)


def test_writers_and_worker_raise_no_false_alarm(drain):
    """Rows change, and the worker follows, while the comparison runs again and again."""
    Article.objects.bulk_create([Article(title=f"title {n}", body="word " * 30) for n in range(40)])
    drain()
    stop = threading.Event()
    errors = []

    def write():
        from pgknowbase.worker import Worker

        try:
            turn = 0
            while not stop.is_set():
                turn += 1
                Article.objects.filter(title__startswith=f"title {turn % 7}").update(body=f"body {turn}")
                Article.objects.create(title=f"made {turn}")
                Article.objects.filter(title=f"made {turn - 3}").delete()
                if threading.current_thread().name == "work":
                    Worker().run_until_idle()
        except Exception as error:  # noqa: BLE001 - told to the test
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, name=name) for name in ("write", "work")]
    for thread in threads:
        thread.start()
    try:
        found = [checked("blog.Article", "--batch-size", "10")[0] for _ in range(12)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert sum(one["pending"] for one in found) > 0
    drain()
    assert checked("blog.Article")[0]["pending"] == 0
