"""A space whose store is distributed: found, written, changed and repaired as any other."""

import asyncio
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import SimpleNamespace

import psutil
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from psycopg.errors import LockNotAvailable

from pgknowbase.agents import DjangoDeps
from pgknowbase.agents.toolsets.knowledge import fetch_knowledge, search_knowledge
from pgknowbase.chat.models import ChatSession
from pgknowbase.chat.retrieval import digest, resolved
from pgknowbase.core import gateway
from pgknowbase.errors import SearchError, ServerDownError, SpaceError, ToolRefusedError
from pgknowbase.mcp.identity import FixedUser
from pgknowbase.mcp.tools import TOOLS, FetchArguments, SearchArguments
from pgknowbase.models import Chunk, Document, EmbeddingSpace, ExternalData
from pgknowbase.operations.doctor.examine import examine
from pgknowbase.operations.estimate import estimate_space
from pgknowbase.pages.views import SearchView
from pgknowbase.search import servers_down
from pgknowbase.search.external import external_data
from pgknowbase.search.queries import translated_errors
from pgknowbase.spaces.cluster import distribute_space, undistribute_space
from pgknowbase.spaces.indexes import IndexSpec, build_index, has_index, index_state
from pgknowbase.spaces.lifecycle import activate_space, add_space, drop_space, space_settings
from pgknowbase.spaces.specification import active_space, rebuild_space
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.worker import Worker
from tests.cluster.conftest import connect
from tests.cluster.proxy import Proxy
from tests.integration.spaces.conftest import assert_space_in_sync, in_thread
from tests.integration.telemetry.conftest import spans  # noqa: F401
from tests.projects.blog.models import Article, Note

# The suite's database, and the coordinator of a cluster.
pytestmark = pytest.mark.skipif(
    not os.environ.get("CITUS_URL") or os.environ.get("DATABASE_URL") != os.environ["CITUS_URL"],
    reason="needs CITUS_URL",
)

WORDS = [
    *("gear", "chain", "bread", "flour", "yeast", "oven", "river", "code", "index", "music", "violin", "garden"),
    *("winter", "ocean", "boat", "train", "market", "court"),
]
SHARDS = 4


def work():
    return Worker().run_until_idle()


def text(rng, words):
    return " ".join(rng.choices(WORDS, k=words))


@pytest.fixture
def articles(transactional_db):
    """Rows of two models, some of several chunks and some with equal texts, in an ordinary space."""
    rebuild_space("default")
    rng = random.Random(3)
    Article.objects.bulk_create(
        Article(title=text(rng, 3), body=text(rng, rng.choice((5, 40, 260))), year=2000 + number % 4)
        for number in range(60)
    )
    Article.objects.bulk_create(Article(title="same", body="bread and yeast", year=2001) for _ in range(12))
    Note.objects.bulk_create(Note(text=text(rng, 20)) for _ in range(20))
    work()
    yield
    for space in EmbeddingSpace.objects.filter(is_active=False):
        drop_space("default", space.name, discard=True)
    EmbeddingSpace.objects.update(name="default")
    rebuild_space("default")
    sql("SELECT pgknowbase_keywords_distribute_v1(false), pgknowbase_documents_distribute_v1(false)")


@pytest.fixture
def distributed(articles):
    return distribute_space("default", "default", shards=SHARDS)


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall()


def found(**options):
    """What each kind of search finds."""

    def hits(rows):
        return [
            (
                *(str(row.pk), row.similarity and round(row.similarity, 6), round(row.score, 6)),
                *(row.matched_chunk, row.matched_span),
            )
            for row in rows
        ]

    query, first = "violin music in winter", Article.objects.earliest("pk")
    return {
        "semantic": hits(Article.objects.semantic_search(query, limit=20, **options)),
        "all of them": hits(Article.objects.semantic_search(query, limit=1000, **options)),
        "metadata": hits(Article.objects.semantic_search(query, metadata={"year": 2002}, **options)),
        "queryset": hits(Article.objects.filter(year=2003).semantic_search(query, **options)),
        "threshold": hits(Article.objects.semantic_search(query, limit=50, threshold=0.4, **options)),
        "second page": hits(Article.objects.semantic_search(query, limit=5, offset=5, **options)),
        "copies": hits(Article.objects.semantic_search("bread and yeast", limit=15, **options)),
        "keyword": hits(Article.objects.keyword_search(query, **options)),
        "hybrid": hits(Article.objects.hybrid_search(query, **options)),
        "phrase": hits(Article.objects.hybrid_search('"bread and yeast" oven', **options)),
        "similar": hits(Article.objects.similar_to(first, **options)),
        "similar to two": hits(Article.objects.similar_to([first, Article.objects.latest("pk")], **options)),
        "across models": hits(external_data("default").search(query, limit=30, **options)),
        "snippets": [row.snippet for row in Article.objects.hybrid_search(query, snippet_length=80, **options)],
        "pending": hits(Article.objects.hybrid_search(query, include_pending=True, **options)),
        "excluded": hits(Article.objects.keyword_search("winter -music title:gear OR viol*", **options)),
        "filtered words": hits(Article.objects.filter(year=2003).keyword_search(query, **options)),
        "typo": hits(Article.objects.keyword_search("violim muzic", correct_typos=True, **options)),
    }


def counted():
    """What else reads the words: facets, and searches of a corpus that is too large to be scored as a whole."""
    most = (
        "SELECT object_key, round(score::numeric, 6) FROM pgknowbase_search_keyword_v1(%s, 20, most_candidates => 15)"
    )
    return (
        Article.objects.facets("tags", query="violin OR music"),
        Article.objects.facets("tags", query='"bread and yeast" -oven'),
        sql("SELECT corrected FROM pgknowbase_correct_v1('violim in wintre')")[0][0],
        [sql(most, text) for text in ("violin music in winter", "bread and yeast", '"bread and yeast"', "gear -chain")],
    )


def gather():
    sql("SELECT pgknowbase_word_sample(common => 10)")
    sql("SELECT pgknowbase_postings_gather_v1(1)")


def test_searches_find_what_they_found_in_one_table(articles):
    gather()
    before, also = found(), counted()
    assert all(before.values())
    assert all(also)
    distribute_space("default", "default", shards=SHARDS)
    assert found() == before
    assert counted() == also
    gather()
    assert counted() == also
    assert str(Article.objects.semantic_search("x").explain_search()).startswith("exact over the index")

    build_index("default", IndexSpec(active_space("default")))
    walked = Article.objects.semantic_search("violin").explain_search()
    assert str(walked).startswith("index walk")
    assert found() == before

    undistribute_space("default", "default")
    assert found() == before
    assert counted() == also


def test_words_and_texts_lie_where_the_chunks_of_their_object_do(distributed):
    keys = "SELECT string_agg(DISTINCT source || ':' || id, ' ') FROM %s"

    def places(table):
        per_shard = sql("SELECT nodeport, result FROM run_command_on_placements(%s, %s)", table, keys)
        return {key: port for port, keys in per_shard for key in (keys or "").split()}

    assert places("pgknowbase_shard_keywords") == places(distributed.store_table)
    assert places("pgknowbase_shard_document") == places(distributed.store_table)
    assert sql("SELECT count(*), count(words) FROM pgknowbase_keywords") == [(92, 0)]
    assert sql("SELECT count(*), count(content), count(digest) FROM pgknowbase_document") == [(92, 0, 92)]
    file = sql("SELECT pg_relation_filenode('pgknowbase_document')")
    with pytest.raises(SpaceError, match="distributed already"):
        distribute_space("default", "default")
    assert sql("SELECT pg_relation_filenode('pgknowbase_document')") != file  # its room is freed, or is once more


def test_words_and_texts_come_back_with_the_last_store(articles):
    def kept():
        return (
            set(sql("SELECT source, id, words::text, number FROM pgknowbase_keywords")),
            set(sql("SELECT source, id, title, content, digest, language FROM pgknowbase_document")),
            sql("SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'pgknowbase_document'::regclass ORDER BY 1"),
        )

    before = kept()
    options = ("--shards", SHARDS, "--no-words", "--no-texts")
    call_command("pgknowbase_space", "distribute", "default", *options, verbosity=0)
    assert active_space("default").distributed
    assert kept() == before
    distribute_space("default", "default")
    add_space("default", "spread", space_settings("spread", distributed=True))
    undistribute_space("default", "default")
    assert sql("SELECT count(*) FROM pgknowbase_shard_keywords") == [(92,)]
    assert sql("SELECT count(*) FROM pgknowbase_shard_document") == [(92,)]
    drop_space("default", "spread", discard=True)
    assert found()["keyword"]
    undistribute_space("default", "default")
    assert kept() == before
    with pytest.raises(SpaceError, match="one table"):
        undistribute_space("default", "default")


def test_texts_move_without_being_embedded_anew_and_are_read_where_they_are(articles):
    before = {document.pk: document.content for document in Document.objects.all()}
    assert all(before.values())
    tokens = estimate_space("default", "next", space_settings("default")).tokens
    for move in (partial(distribute_space, shards=SHARDS), undistribute_space):
        move("default", "default")
        waiting = gateway.fetch_value("default", "queue_pending", vectorizer=active_space("default").vectorizer_id)
        assert (waiting, sql("SELECT count(*) FROM pgknowbase_keywords WHERE stale")) == (0, [(0,)])
        assert {document.pk: document.content for document in Document.objects.all()} == before
        document = Document.objects.only("title").first()
        moved_since = Document.from_db("default", ["source", "id", "content"], [*document.pk, None])
        assert moved_since.content == before[document.pk]
        assert (document.content, document.digest is None) == (before[document.pk], move is undistribute_space)
        assert estimate_space("default", "next", space_settings("default")).tokens == tokens


@pytest.mark.parametrize("part", ["texts", "words"])
def test_who_waits_for_a_move_writes_where_it_went(articles, part):
    """And holds no rows that the move is to write; searches do not wait for it."""
    space = distribute_space("default", "default", shards=SHARDS, words=False, texts=False)
    table = "document" if part == "texts" else "keywords"
    waited_for = (
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
    )
    article = Article.objects.earliest("pk")
    for is_away in (True, False):
        article.body = f"penguins walk on ice, {is_away}"
        article.save()
        if part == "words":
            Worker(relay_only=True).run_until_idle()
            sql_done("UPDATE pgknowbase_keywords SET words = '', stale = true WHERE id = %s", str(article.pk))
        with ExitStack() as stack, transaction.atomic():
            gateway.fetch("default", "part_distribute", part=part, distributed=is_away, beside=space.pk)
            with coordinator() as other:
                if is_away:
                    assert len(other.execute(f"SELECT FROM pgknowbase_{table}").fetchall()) == 92
                with pytest.raises(LockNotAvailable):
                    other.execute(f"LOCK TABLE pgknowbase_{table} IN ROW SHARE MODE NOWAIT")
            done = []
            stack.enter_context(in_thread(lambda ended, done=done: done.append(Worker().run_until_idle())))
            while not sql(waited_for)[0][0]:
                assert not done
                time.sleep(0.01)
        if part == "texts":
            assert Document.objects.filter(content__isnull=True).count() == (92 if is_away else 0)
        assert [row.pk for row in Article.objects.keyword_search("penguins")] == [article.pk]
        assert_space_in_sync("default")


@contextmanager
def coordinator():
    """Another connection to it, in a transaction."""
    known = connection.settings_dict
    with connect(known["HOST"], known["PORT"], known["NAME"]) as other, other.transaction():
        yield other


def test_the_admin_shows_texts_that_are_elsewhere(distributed, admin_client):
    data = ExternalData.objects.latest("pk")
    assert len(data.content) > 20
    page = admin_client.get(reverse("admin:pgknowbase_externaldata_change", args=[data.pk]))
    assert data.content in page.content.decode()
    page = admin_client.get(reverse("admin:pgknowbase_knowledge"), {"q": data.content, "mode": "keyword"})
    assert data.content[-20:] in page.content.decode()


def test_a_text_that_is_not_there_yet_is_waited_for(distributed):
    """The two phases of a commit are not seen at the same moment: the coordinator shows a digest first."""
    article = Article.objects.earliest("pk")
    article.body = "penguins walk on ice"
    article.save()
    worker = Worker(relay_only=True)
    worker.run_until_idle()
    sql_done("UPDATE pgknowbase_keywords SET stale = true WHERE id = %s", str(article.pk))
    key = "FROM pgknowbase_shard_document WHERE id = %s AND content ~ 'penguins'"
    ((arrived,),) = sql(f"SELECT content {key}", str(article.pk))
    sql_done("UPDATE pgknowbase_shard_document SET content = 'old' WHERE id = %s", str(article.pk))
    assert Executor("default").run_once().written == 0
    sql_done("UPDATE pgknowbase_keywords SET stale = true WHERE id = %s", str(Article.objects.latest("pk").pk))
    assert [gateway.fetch_value("default", "keywords_refresh", max_documents=1) for _ in range(2)] == [1, 0]
    sql_done("UPDATE pgknowbase_shard_document SET content = %s WHERE id = %s", arrived, str(article.pk))
    sql_done(f"UPDATE {active_queue()} SET loading_retry_after = NULL")
    work()
    assert Article.objects.semantic_search("penguins walk on ice")[0].pk == article.pk
    assert [row.pk for row in Article.objects.keyword_search("penguins")] == [article.pk]


def test_a_text_that_is_lost_fails_its_object_which_is_rendered_anew(distributed):
    article = Article.objects.earliest("pk")
    article.body = "penguins walk on ice"
    article.save()
    Worker(relay_only=True).run_until_idle()
    data = ExternalData.objects.get(content_type__model="article", object_key=article.pk)
    key = (data.content_type_id, data.object_key)
    sql_done("DELETE FROM pgknowbase_shard_document WHERE source = %s AND id = %s", *key)
    for waited, delay in (("0.2 s", 0.5), ("10 s", 8)):
        sql_done(f"UPDATE {active_queue()} SET loading_retry_after = NULL, queued_at = now() - %s::interval", waited)
        assert Executor("default").run_once().written == 0
        ((left,),) = sql(f"SELECT extract(epoch FROM loading_retry_after - clock_timestamp()) FROM {active_queue()}")
        assert delay / 2 < left <= delay
        data.refresh_from_db()
        assert (data.status, data.attempts) == ("pending", 0)
    sql_done(f"UPDATE {active_queue()} SET loading_retry_after = NULL, queued_at = now() - interval '1 hour'")
    assert Executor("default").run_once().written == 0
    assert sql(f"SELECT count(*) FROM {active_queue()}") == [(0,)]
    data.refresh_from_db()
    assert (data.status, data.attempts, data.retry_at is None) == ("failed", 1, False)
    assert "sync_external_models --repair" in data.error
    sql_done("UPDATE pgknowbase_externaldata SET retry_at = now() WHERE id = %s", data.pk)
    work()
    data.refresh_from_db()
    assert (data.status, data.error, article.body in data.content) == ("completed", "", True)
    assert_space_in_sync("default")
    assert [row.pk for row in Article.objects.keyword_search("penguins")] == [article.pk]


def active_queue():
    ((name,),) = sql(
        "SELECT format('%%I.%%I', v.queue_schema, v.queue_table) FROM ai.vectorizer AS v WHERE v.id = %s",
        active_space("default").vectorizer_id,
    )
    return name


def test_a_search_makes_no_connection_that_is_closed_after_it(distributed):
    """A server's shards are walked one after the other: making a connection takes ten times as long as a walk."""
    build_index("default", IndexSpec(distributed))
    ((most_shards,),) = sql(
        "SELECT max(count) FROM (SELECT count(*) FROM citus_shards GROUP BY nodename, nodeport) AS s"
    )
    assert most_shards > 1
    with transaction.atomic():
        sql_done("SET LOCAL citus.executor_slow_start_interval = 0")  # all that it wants at once
        assert len(Article.objects.semantic_search("violin", limit=3, threshold=-1)) == 3
        ((gpid,),) = sql("SELECT citus_backend_gpid()")
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = '{}'"
        counts = sql("SELECT result FROM run_command_on_workers(%s)", sessions.format(f"citus_internal gpid={gpid}"))
    assert {count for (count,) in counts} == {"1"}


def test_chunks_lie_on_several_servers_an_object_on_one(distributed):
    places = sql(
        "SELECT count(DISTINCT nodename || nodeport) FROM citus_shards WHERE table_name = %s::regclass",
        distributed.store_table,
    )
    assert places[0][0] > 1
    keys = "SELECT string_agg(DISTINCT source || ':' || id, ' ') FROM %s"
    per_shard = sql("SELECT result FROM run_command_on_shards(%s, %s)", distributed.store_table, keys)
    objects = [key for (keys,) in per_shard for key in (keys or "").split()]
    assert len(objects) == len(set(objects)) == Article.objects.count() + Note.objects.count()


def test_comes_back_as_it_was(articles):
    def shape():
        store = active_space("default").store_table
        return (
            sql("SELECT indexname FROM pg_indexes WHERE tablename = %s ORDER BY 1", store),
            sql("SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %s::regclass ORDER BY 1", store),
            sql(
                "SELECT pg_get_viewdef('pgknowbase_chunk'::regclass), pg_get_viewdef((%s || '_view')::regclass)", store
            ),
            sql("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = %s::regclass AND indisprimary", store),
        )

    build_index("default", IndexSpec(active_space("default")))
    before, chunks = shape(), set(Chunk.objects.values_list("uuid", "source", "object_key", "position", "text"))
    distribute_space("default", "default", shards=SHARDS)
    assert set(Chunk.objects.values_list("uuid", "source", "object_key", "position", "text")) == chunks
    assert has_index("default", active_space("default"))
    undistribute_space("default", "default")
    assert shape() == before
    assert set(Chunk.objects.values_list("uuid", "source", "object_key", "position", "text")) == chunks


def test_worker_writes_moves_and_deletes_chunks(distributed):
    rng = random.Random(5)
    articles = list(Article.objects.order_by("pk"))
    for article in articles[:20]:
        # Chunks before the old ones, so that these move; others get shorter.
        article.body = f"{text(rng, 120)}. {article.body}" if article.pk % 2 else article.body[:60]
        article.save()
    Article.objects.filter(pk__in=[article.pk for article in articles[20:30]]).delete()
    Article.objects.filter(title="same").first().delete()
    Article.objects.create(title="penguins", body="penguins walk on ice")
    assert work().failed == 0
    assert_space_in_sync("default")
    assert Article.objects.semantic_search("penguins walk on ice")[0].title == "penguins"
    assert [row.title for row in Article.objects.keyword_search("penguins")] == ["penguins"]
    assert not ExternalData.objects.exclude(status="completed").exists()
    call_command("sync_external_models", "blog.Article", "--check", verbosity=0)
    assert sql("SELECT hidden FROM pgknowbase_copy_state_v1(%s)", distributed.pk) == [(0,)]
    texts = sql("SELECT s.source, s.id, md5(s.content) FROM pgknowbase_shard_document AS s ORDER BY 1, 2")
    assert sql("SELECT source, id, digest FROM pgknowbase_document ORDER BY 1, 2") == texts


def test_check_finds_and_repairs_what_shards_have_lost(distributed):
    lost = str(Article.objects.earliest("pk").pk)
    sql_done(f'DELETE FROM "{distributed.store_table}" WHERE id = %s', lost)
    sql_done(
        f'UPDATE "{distributed.store_table}" SET chunk = %s WHERE id = %s',
        "altered",
        str(Article.objects.latest("pk").pk),
    )
    keys = [str(article.pk) for article in Article.objects.order_by("pk")]
    sql_done("DELETE FROM pgknowbase_shard_keywords WHERE id = %s", keys[5])
    sql_done("DELETE FROM pgknowbase_shard_document WHERE id = %s", keys[7])
    sql_done("UPDATE pgknowbase_shard_document SET content = 'altered' WHERE id = %s", keys[8])
    with pytest.raises(DatabaseError, match="lost the texts of 2 documents"), transaction.atomic():
        sql("SELECT pgknowbase_documents_distribute_v1(false)")
    with pytest.raises(CommandError, match="5 objects have drifted"):
        call_command("sync_external_models", "blog.Article", "--check", verbosity=0)
    call_command("sync_external_models", "blog.Article", "--repair", verbosity=0)
    work()
    call_command("sync_external_models", "blog.Article", "--check", verbosity=0)
    assert_space_in_sync("default")
    undistribute_space("default", "default")
    call_command("sync_external_models", "blog.Article", "--check", verbosity=0)


def test_hidden_vectors_are_repaired_on_their_shard(distributed):
    sql_done(f'UPDATE "{distributed.store_table}" SET is_copy = true')
    ((hidden,),) = sql("SELECT hidden FROM pgknowbase_copy_state_v1(%s)", distributed.pk)
    assert hidden > 0
    assert sql("SELECT pgknowbase_copy_repair_v1(%s)", distributed.pk) == [(hidden,)]
    assert sql("SELECT hidden FROM pgknowbase_copy_state_v1(%s)", distributed.pk) == [(0,)]


def sql_done(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def test_another_space_takes_over_without_a_call(articles):
    """From one table to a cluster without a pause: a second space is filled from the vectors of the first."""
    before = found()
    add_space("default", "spread", space_settings("spread", distributed=True))
    assert work().embedded == 0
    assert_space_in_sync("spread")
    activate_space("default", "spread")
    assert active_space("default").distributed
    assert found() == before
    drop_space("default", "default")
    assert found() == before


def test_status_and_index_state_know_all_shards(distributed):
    ((size,),) = sql("SELECT pgknowbase_store_bytes_v1(s) FROM pgknowbase_space AS s WHERE is_active")
    assert size > 0
    assert index_state("default", distributed) == "not needed"
    assert gateway.fetch("default", "space_coverage", space=distributed.pk)[0][:3] == (92, 92, 0)


@pytest.fixture
def server(distributed):
    """The way to one of the servers: a ``Proxy``, which the cluster takes for the server itself."""
    ((node, host, port),) = sql(
        "SELECT nodeid, nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid LIMIT 1"
    )

    def move(to):
        sql("SELECT citus_update_node(%s, %s, %s)", node, host, to)
        connection.close()  # or the connections that it keeps serve on
        sql("SELECT start_metadata_sync_to_all_nodes()")

    proxy = Proxy(host, port)
    move(proxy.port)
    yield proxy
    proxy.stop_before = None  # where the test has failed
    proxy.start()
    move(port)
    proxy.stop()
    servers_down._silent.clear()


def test_server_down_is_said_and_nothing_is_lost(server, distributed):
    server.stop()
    assert sql("SELECT pgknowbase_space_serves_v1(%s)", distributed.pk - 1) == [(False,)]  # which asks no server
    for kind in (Article.objects.semantic_search, Article.objects.keyword_search, Article.objects.hybrid_search):
        with pytest.raises(ServerDownError, match="does not answer"):
            list(kind("violin"))
    with pytest.raises(ServerDownError, match="does not answer"):
        Article.objects.facets("tags", query="violin")
    assert "cluster.server" in {finding.id for finding in examine("default")}

    Article.objects.create(title="penguins", body="penguins walk on ice")
    Article.objects.earliest("pk").delete()
    worker = Worker()
    with pytest.raises(Exception, match=r"remote node|does not answer|could not connect"):
        worker.run_until_idle()
    server.start()
    work()
    assert_space_in_sync("default")
    assert Article.objects.semantic_search("penguins walk on ice")[0].title == "penguins"


def keys_on(server, store):
    """The object keys that this server alone has."""
    rows = sql(
        "SELECT r.result FROM run_command_on_placements(%s, 'SELECT string_agg(DISTINCT id, '' '') FROM %%s') AS r"
        " WHERE r.nodeport = %s",
        store,
        server.port,
    )
    return {key for (keys,) in rows for key in (keys or "").split()}


def test_the_others_answer_where_that_is_asked(server, distributed, django_user_model, spans):  # noqa: F811
    alone = ("semantic", "all of them", "metadata", "queryset", "threshold", "similar", "similar to two", "copies")
    kinds = (*alone, "keyword", "hybrid", "phrase", "pending")
    for plan in ("exact", "index walk"):
        server.start()
        if plan == "index walk":
            build_index("default", IndexSpec(active_space("default")))
        connection.close()
        before, gone = found(), keys_on(server, distributed.store_table)
        assert not Article.objects.semantic_search("violin", if_server_down="partial").is_partial
        wide = [row.pk for row in Article.objects.semantic_search("violin music in winter", limit=1000)]
        assert 0 < len(gone & set(map(str, wide))) < len(wide)

        server.stop()
        partly = found(if_server_down="partial")
        left = [hit for hit in before["all of them"] if hit[0] not in gone]
        assert partly["all of them"] == left
        assert partly["semantic"] == left[:20]
        assert partly["second page"] == left[5:10]
        for kind in kinds:
            assert {hit[0] for hit in partly[kind]}.isdisjoint(gone), kind
            assert partly[kind] or kind.startswith("similar"), kind
        rows = Article.objects.hybrid_search("violin", if_server_down="partial")
        assert rows.is_partial
        assert spans.named("retrieval pgknowbase")[-1].attributes["pgknowbase.search.partial"] is True
        explained = Article.objects.semantic_search("violin", if_server_down="partial").explain_search()
        assert str(explained).startswith(plan)
        assert explained.missing == (f"127.0.0.1:{server.port}",)
        assert "partial: without what is on 127.0.0.1" in str(explained)
        with transaction.atomic():
            assert Article.objects.semantic_search("violin", if_server_down="partial").is_partial
        with pytest.raises(ServerDownError):
            list(Article.objects.semantic_search("violin"))
    ada = django_user_model.objects.create_superuser("ada")
    assert_readers_say_that_the_text_is_away(ada, min(gone & set(map(str, wide))))
    assert {document_status(ada, hit[0]) for hit in left[:3]} == {200}
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "SEARCH": {"IF_SERVER_DOWN": "partial"}}):
        assert_every_surface_says_partial(ada)
    server.start()
    assert found(if_server_down="partial") == before
    assert not Article.objects.semantic_search("violin", if_server_down="partial").is_partial
    assert "pgknowbase.search.partial" not in spans.named("retrieval pgknowbase")[-1].attributes


def document_status(user, key):
    client = Client()
    client.force_login(user)
    return client.get("/api/knowledge/document/", {"model": "blog.article", "key": key}).status_code


def assert_readers_say_that_the_text_is_away(user, key):
    """Each in bounded time, and the admin by a page of its own."""
    assert document_status(user, key) == 503
    data = ExternalData.objects.get(content_type__model="article", object_key=key)
    with pytest.raises(ServerDownError, match=f"text of '{key}'"):
        str(data.content)
    with pytest.raises(ServerDownError, match="chunks"):
        list(data.chunks)
    with pytest.raises(ServerDownError, match="text"):
        TOOLS["fetch"].call(FetchArguments(id=f"blog.Article:{key}"), FixedUser(user.username))
    with pytest.raises(ToolRefusedError, match="text"):
        asyncio.run(fetch_knowledge(SimpleNamespace(deps=DjangoDeps(user_id=user.pk)), data.pk))
    citation = {"number": 1, "model": "blog.Article", "object_key": key, "title": "", "chunk": 0, "start": 0, "end": 9}
    citation["digest"] = digest("gone")
    with pytest.raises(ServerDownError, match="text"):
        resolved(citation, user, around=10)
    client = Client()
    client.force_login(user)
    session = ChatSession.objects.create(user=user)
    answer = session.messages.create(role="assistant", content="[1]", citations=[citation])
    for row in (data, answer, active_space("default")):
        page = client.get(reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]))
        assert page.status_code == 200
        assert "of the cluster" in page.content.decode()
    with pytest.raises(CommandError, match="texts and chunks cannot be compared"):
        call_command("sync_external_models", "blog.Article", "--check", verbosity=0)
    with pytest.raises(ServerDownError, match="texts cannot be read"):
        estimate_space("default", "next", space_settings("default"))


def assert_every_surface_says_partial(user):
    facets = Article.objects.facets("tags", query="violin")
    assert facets.documents
    assert not facets.is_complete
    client = Client()
    client.force_login(user)
    page = client.get("/api/knowledge/search/", {"query": "violin", "if_server_down": "partial"}).json()
    assert page.get("is_partial"), page
    first = page["results"][0]
    asked = {"model": first["model"], "key": first["object_key"]}
    page = client.get("/api/knowledge/similar/", asked).json()
    assert page.get("is_partial"), page
    assert client.get("/api/knowledge/search/", {"query": "violin", "if_server_down": "error"}).status_code == 503
    asked = SearchArguments(query="violin", mode="keyword")
    assert TOOLS["search"].call(asked, FixedUser(user.username)).is_partial
    told = asyncio.run(search_knowledge(SimpleNamespace(deps=DjangoDeps(user_id=user.pk)), "violin"))
    assert "documents may be missing" in told["missing"]
    request = RequestFactory().get("/", {"q": "violin"})
    request.user = user
    assert "results may be missing" in SearchView.as_view()(request).render().content.decode()


@pytest.mark.parametrize("moment", [b"ORDER BY", b"violin"], ids=["asked", "in mid-answer"])
def test_a_server_that_goes_during_a_search_is_as_one_that_is_down(server, distributed, moment):
    """Its connection is open, and it goes when it is asked, or after a part of its answer, which has the word."""
    build_index("default", IndexSpec(distributed))
    whole = [row.pk for row in Article.objects.semantic_search("violin", limit=1000)]
    gone = keys_on(server, distributed.store_table)
    server.stop_before = moment
    with pytest.raises(ServerDownError, match="does not answer"):
        list(Article.objects.semantic_search("violin", limit=1000))
    for goes_while_others_are_missing in (False, True):
        server.start()
        if goes_while_others_are_missing:
            server.stop_before = moment
            servers_down._silent["default"] = (time.monotonic() + 1000, ("127.0.0.1:1",))
        rows = Article.objects.semantic_search("violin", limit=1000, if_server_down="partial")
        assert [row.pk for row in rows] == [key for key in whole if str(key) not in gone]
        assert rows.is_partial
    server.stop_before = None
    servers_down._silent.clear()
    server.start()
    assert [row.pk for row in Article.objects.semantic_search("violin", limit=1000)] == whole


def test_a_key_is_not_taken_for_the_place_of_a_shards_name(distributed):
    """In statements to the servers that are left: they are written with the key in them."""
    keys = ["{shard}", r"<\shard>", "%s", "$1"]
    ((source, vector),) = sql("SELECT source, embedding::text FROM pgknowbase_chunk LIMIT 1")
    for key in keys:
        sql_done(
            f'INSERT INTO "{distributed.store_table}" (source, id, chunk_seq, chunk, embedding, tokens)'
            " VALUES (%s, %s, 0, %s, %s, 1)",
            *(source, key, key, vector),
        )
    with transaction.atomic():
        gateway.fetch("default", "answer_partially", servers=[])
        rows = sql("SELECT id, chunk FROM pgknowbase_store_rows(%s, %s, %s)", distributed.store_table, [source], keys)
    assert sorted(rows) == sorted((key, key) for key in keys)


def test_an_answer_that_is_too_large_for_one_server_is_refused(distributed):
    """27 texts of 10 MB, of the same id and so on the same server."""
    ((source, id),) = sql("SELECT source, id FROM pgknowbase_shard_document LIMIT 1")
    read = "SELECT count(*), sum(octet_length(content)) FROM pgknowbase_read_shard_documents_v1(%s, ARRAY[%s])"
    sources = list(range(source, source + 27))

    def partly(sources):
        with transaction.atomic():
            gateway.fetch("default", "answer_partially", servers=[])
            return sql(read, sources, id)[0][0]

    sql_done(
        "INSERT INTO pgknowbase_shard_document (source, id, content)"
        " SELECT s, %s, repeat('violin ', 1500000) FROM unnest(%s::int[]) AS s WHERE s <> %s",
        *(id, sources, source),
    )
    try:
        assert sql(read, sources, id)[0][0] == 27
        with pytest.raises(SearchError, match="more than 200 MB"), translated_errors("default"):
            partly(sources)
        assert partly(sources[:9]) == 9
    finally:
        sql_done("DELETE FROM pgknowbase_shard_document WHERE id = %s AND source <> %s", id, source)


@contextmanager
def way_hangs(server):
    server.hang()
    yield
    server.start()


@contextmanager
def processes_are_stopped(server):
    """Those of the server: it accepts connections still, and nobody reads from them."""
    with connect(server.host, server.to_port, connection.settings_dict["NAME"]) as node:
        ((backend,),) = node.execute("SELECT pg_backend_pid()").fetchall()
        postmaster = psutil.Process(backend).parent()
    processes = [postmaster, *postmaster.children()]
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.mark.parametrize("hanging", [way_hangs, processes_are_stopped])
def test_a_server_that_hangs_is_as_one_that_is_down(server, hanging, django_user_model, monkeypatch):
    """Also where connections to it are open, whose queries nobody can cancel. All that reads ends while it hangs."""
    monkeypatch.setattr(servers_down, "PATIENCE", 0.5)
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "SPACE": {"DISTRIBUTED": True}}):
        whole = len(Article.objects.semantic_search("violin", limit=1000))
        gone = keys_on(server, active_space("default").store_table)
        article = next(row for row in Article.objects.all() if str(row.pk) in gone)
        with hanging(server):
            with pytest.raises(ServerDownError, match="hang"):
                list(Article.objects.semantic_search("violin"))
            servers_down._silent.clear()
            for _ in range(2):
                rows = Article.objects.semantic_search("violin", limit=1000, if_server_down="partial")
                assert rows.is_partial
                assert 0 < len(rows) < whole
        # The time for which it is left alone is over.
        servers_down._silent["default"] = (0.0, servers_down._silent["default"][1])
        rows = Article.objects.semantic_search("violin", limit=1000, if_server_down="partial")
        assert len(rows) == whole
        assert not rows.is_partial
        ada = django_user_model.objects.create_superuser("ada")
        with hanging(server):
            assert_readers_say_that_the_text_is_away(ada, str(article.pk))


@pytest.mark.parametrize("message", [b"PREPARE TRANSACTION", b"COMMIT PREPARED"])
def test_a_server_that_goes_while_a_write_is_committed_loses_nothing(server, distributed, monkeypatch, message):
    """A write is one transaction over all servers: prepared on each, committed on the coordinator, then on each."""
    Article.objects.update(body="penguins walk on ice, and swim in the ocean")
    server.stop_before = message
    with pytest.raises(Exception, match=r"remote|does not answer|connect"):
        work()  # COMMIT: it is done with the chunks, the rest is the coordinator's to tell that server; words wait
    server.stop_before = None
    server.start()
    connection.close()
    monkeypatch.setattr("pgknowbase.operations.doctor.cluster.PREPARED_FOR", "0 s")
    told = [finding for finding in examine("default") if finding.id == "cluster.prepared"]
    assert bool(told) is message.startswith(b"COMMIT")
    sql("SELECT recover_prepared_transactions()")
    work()
    assert_space_in_sync("default")
    assert "cluster.prepared" not in {finding.id for finding in examine("default")}
    assert not ExternalData.objects.exclude(status="completed").exists()
    call_command("sync_external_models", "blog.Article", "--check", verbosity=0)
    assert Article.objects.semantic_search("penguins walk on ice")[0].body.startswith("penguins")


@pytest.fixture
def plain_role(distributed):
    """The rest of the test runs as a role that may do what the doctor says that it must."""
    role = "pgknowbase_plain"
    sql_done(f"CREATE ROLE {role} LOGIN")  # Citus makes it on all servers
    sql_done(f"GRANT USAGE ON SCHEMA public, ai TO {role}")
    sql_done(f"GRANT ALL ON blog_article TO {role}")  # the project's own
    try:
        for _ in range(3):
            sql_done(f"SET ROLE {role}")
            missing = [finding for finding in examine("default") if finding.id == "grant.missing"]
            connection.close()
            if not missing:
                break
            for grant in (step for finding in missing for step in finding.fix if step.startswith("GRANT")):
                sql_done(grant)
        sql_done(f"SET ROLE {role}")
        yield
    finally:
        sql_done("RESET ROLE")
        connection.close()
        sql_done(f"DROP OWNED BY {role}")
        sql_done(f"DROP ROLE {role}")


def test_a_role_that_is_not_a_superuser_searches_and_works(server, plain_role):
    assert sql("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user") == [
        ("pgknowbase_plain", False)
    ]
    before = found()
    assert before["semantic"]
    assert found(if_server_down="partial") == before
    sql("SELECT set_config('pgknowbase.missing_servers', '{}', false)")  # as if one had failed
    assert found()["semantic"] == before["semantic"]
    sql("SELECT set_config('pgknowbase.missing_servers', '', false)")
    assert "cluster.server" not in {finding.id for finding in examine("default")}
    Article.objects.create(title="penguins", body="penguins walk on ice")
    assert work().failed == 0
    assert Article.objects.semantic_search("penguins walk on ice")[0].title == "penguins"


@pytest.fixture
def owner(articles):
    """A role that is not a superuser and owns what a migration of its own would have made, as the rest of the test."""
    role = "pgknowbase_owner"
    sql_done(f"CREATE ROLE {role} LOGIN")
    owned = sql(
        "SELECT format('ALTER %%s %%s OWNER TO', kind, name) FROM ("
        " SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name"
        " FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')"
        " AND c.relname ~ '^pgknowbase_(store|chunk|space|external|keywords|document)'"
        " UNION ALL SELECT DISTINCT 'FUNCTION', t.tgfoid::regprocedure::text FROM pg_trigger AS t"
        " WHERE t.tgrelid = %s::regclass AND NOT t.tgisinternal) AS o",
        active_space("default").store_table,
    )
    sql_done(f"GRANT ALL ON SCHEMA public TO {role}")
    for (change,) in owned:
        sql_done(f"{change} {role}")
    try:
        sql_done(f"SET ROLE {role}")
        yield
    finally:
        sql_done("RESET ROLE")
        for (change,) in owned:  # REASSIGN OWNED ends a server with Citus 13.2.2
            sql_done(f"{change} CURRENT_USER")
        connection.close()
        sql_done(f"DROP OWNED BY {role}")
        sql_done(f"DROP ROLE {role}")


def test_an_owner_who_is_not_a_superuser_distributes_and_brings_back(owner):
    assert distribute_space("default", "default", shards=SHARDS).distributed
    assert not undistribute_space("default", "default").distributed
    sql_done("RESET ROLE")
    distribute_space("default", "default", shards=SHARDS)  # a superuser does it for them
    sql_done("SET ROLE pgknowbase_owner")
    assert not undistribute_space("default", "default").distributed


def test_an_owner_who_is_not_a_superuser_migrates_where_the_extensions_are(transactional_db):
    name = f"{connection.settings_dict['NAME']}_own"
    nodes = sql("SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid")
    sql_done("CREATE ROLE pgknowbase_migrator LOGIN")
    try:
        for host, port in nodes:
            with connect(host, port, "postgres") as node:
                node.execute(f'CREATE DATABASE "{name}" OWNER pgknowbase_migrator')
            with connect(host, port, name) as node:
                node.execute("CREATE EXTENSION vector")
                node.execute("CREATE EXTENSION citus")
        host, port = nodes[0]
        with connect(host, port, name) as coordinator:
            coordinator.execute("SELECT citus_set_coordinator_host(%s, %s)", nodes[0])
            for node in nodes[1:]:
                coordinator.execute("SELECT citus_add_node(%s, %s)", node)
        url = f"postgresql://pgknowbase_migrator@{host}:{port}/{name}"
        done = subprocess.run(
            [sys.executable, "-m", "django", "migrate", "pgknowbase"],
            env={
                **os.environ,
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with connect(host, port, name) as coordinator:
            assert coordinator.execute("SELECT count(*) FROM pgknowbase_space").fetchone() == (1,)
    finally:
        for host, port in nodes:
            with connect(host, port, "postgres") as node:
                node.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        sql_done("DROP ROLE pgknowbase_migrator")
