"""Binary indexes, re-ranked on the stored vectors, and stores of halfvec."""

import json
import random
from itertools import combinations

import pytest
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.test import override_settings

from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import ExternalData
from pgknowbase.operations.recall import current_ef_search
from pgknowbase.search.plan import DenseStep
from pgknowbase.testing import assert_in_sync
from tests.integration.spaces.conftest import (
    SPACES,
    assert_space_in_sync,
    in_thread,
    project,
    run,
    space,
    space_command,
    sql,
    work,
    worker_running,
)
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)
ROWS, CENTRES, QUERIES = 2000, 40, 6
WALKED = {"EXACT_SEARCH_MAX_CHUNKS": 0}
BINARY = {**SPACES, "bits": {"INDEX": "binary"}, "small": {"INDEX": "binary", "STORAGE": "halfvec"}}


@pytest.fixture(autouse=True)
def walked(spaces):
    """Settings that know binary spaces, and let every search walk the index."""
    with override_settings(PGKNOWBASE=project(SPACES=BINARY, SEARCH=WALKED)):
        yield


def served(name, **options):
    """Change to another space as a user does."""
    space_command("add", name, **options)
    space_command("fill", name, here=True)
    space_command("activate", name)
    return space(name)


def clustered(store, *, owner):
    """Objects around centres: every tenth passes a filter, every seventh is not public and has an owner."""
    draw = random.Random(7)
    centres = [[draw.gauss(0, 1) for _ in range(256)] for _ in range(CENTRES)]

    def near(centre):
        return "[" + ",".join(f"{value + draw.gauss(0, 0.7):.4f}" for value in centre) + "]"

    vectors = [near(centres[n % CENTRES]) for n in range(ROWS)]
    sql(
        "INSERT INTO pgknowbase_externaldata (source_type, content_type_id, object_key, title, description,"
        " content_hash, metadata, tags, is_public, is_active, similarity_threshold, status, error, attempts,"
        " chunk_count, owner_id) SELECT 'model', t.id, n::text, '', '', '', jsonb_build_object('tenth', n %% 10 = 0,"
        " 'few', n %% 100 = 0), '{}', n %% 7 <> 0, true, 0, 'completed', '', 0, 2, CASE WHEN n %% 7 = 0 THEN %s END"
        " FROM django_content_type AS t, generate_series(0, %s) AS n"
        " WHERE t.app_label = 'blog' AND t.model = 'article'",
        [owner.pk, ROWS - 1],
    )
    sql(f"DROP INDEX IF EXISTS {store}_hnsw")
    # Each object has two chunks, the second one far from the first.
    for seq, shift in ((0, 0), (1, 31)):
        sql(
            f"INSERT INTO {store} (source, id, chunk_seq, chunk, embedding, tokens)"
            " SELECT e.content_type_id, e.object_key, %s, 'chunk of ' || e.object_key, v.vector::vector, 1"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS v (vector, place) JOIN pgknowbase_externaldata AS e"
            " ON e.object_key::bigint = (v.place - 1 + %s) %% %s",
            [seq, vectors, shift, ROWS],
        )
    space_command("index", no_concurrently=True)
    sql(f"ANALYZE {store}; ANALYZE pgknowbase_externaldata")
    return [near(centres[n]) for n in range(QUERIES)]


OPTIONS = {"exact_search_max_chunks", "record_plan", "exclude", "skip", "spans"}


def search(query, function="dense", limit=10, note=False, **options):
    """Hits of one of the two functions, (key, chunk_seq, similarity), and what was noted."""
    recorded = {"exact_search_max_chunks": 0, "record_plan": True} if function == "dense" else {}
    others = {**recorded, **{name: options.pop(name) for name in OPTIONS & options.keys()}}
    filters = {"threshold": -1, **options}
    named = f", pgknowbase_filter_v1({', '.join(f'{name} => %s' for name in filters)})"
    named += "".join(f", {name} => %s" for name in others)
    return sql(
        "SELECT h.object_key, h.chunk_seq, h.similarity, current_setting('pgknowbase.search_plan', true), e.is_public"
        f" FROM pgknowbase_search_{function}_v1(%s, %s{named}) AS h JOIN pgknowbase_externaldata AS e"
        " ON e.id = h.external_data_id ORDER BY h.score DESC, e.id",
        [query, limit, *filters.values(), *others.values()],
    )


def recall(queries, **options):
    found = wanted = 0
    for query in queries:
        best = {row[:2] for row in search(query, "exact", **options)}
        found += len(best & {row[:2] for row in search(query, **options)})
        wanted += len(best)
    return found / wanted


@pytest.fixture
def owner():
    return get_user_model().objects.create(username="owner")


@pytest.mark.parametrize("name", ["bits", "small"])
def test_binary_walk_finds_what_an_exact_search_finds(name, owner):
    made = served(name)
    queries = clustered(made.store_table, owner=owner)
    assert recall(queries) > 0.98
    assert recall(queries, limit=60) > 0.95
    assert recall(queries, metadata='{"tenth": true}') > 0.98
    assert recall(queries, threshold=0.6) > 0.98
    first = search(queries[0])
    plan = json.loads(first[0][3])
    assert plan["plan"] == "walk_binary"
    assert "binary index walk" in str(DenseStep.of(first[0][3], requested=10, found=10))
    assert plan["walked"] >= plan["reranked"] >= 400
    assert plan["walked"] < ROWS
    similarities = [row[2] for row in first]
    assert similarities == sorted(similarities, reverse=True)
    assert len({row[0] for row in first}) == 10
    assert plan["ef_search"] == current_ef_search("default") == 400
    assert [row[0] for row in search(queries[0], skip=3, limit=5)] == [row[0] for row in first[3:8]]
    # What ``pgknowbase_tune recall`` measures and saves is how many are re-ranked.
    sql("UPDATE pgknowbase_space SET ef_search = 40 WHERE is_active")
    fewer = json.loads(search(queries[0])[0][3])
    assert (fewer["ef_search"], 40 <= fewer["reranked"] < 100) == (40, True)


def test_filters_visibility_and_thresholds_hold(owner):
    made = served("bits")
    query = clustered(made.store_table, owner=owner)[0]
    (source,) = {row.content_type_id for row in ExternalData.objects.all()[:1]}
    hidden = {row[0] for row in search(query, "exact", limit=ROWS, visible_to=str(owner.pk)) if not row[4]}
    assert len(hidden) == 286
    for viewer, seen in (("", set()), (str(owner.pk + 1), set()), (str(owner.pk), hidden)):
        rows = search(query, limit=200, visible_to=viewer)
        assert len(rows) == 200
        assert {row[0] for row in rows if not row[4]} <= seen
        assert bool(seen) is any(not row[4] for row in rows)
    assert all(int(row[0]) % 10 == 0 for row in search(query, metadata='{"tenth": true}'))
    assert search(query, sources=[source + 1000]) == []
    best = search(query)
    (excluded,) = ExternalData.objects.filter(object_key=best[0][0]).values_list("pk", flat=True)
    assert best[0][0] not in {row[0] for row in search(query, exclude=excluded)}
    # Objects with a high threshold of their own take no place from others.
    near = [row[0] for row in search(query, "exact", limit=500)]
    ExternalData.objects.filter(object_key__in=near).update(similarity_threshold=1)
    others = search(query, threshold=None)
    assert len(others) == 10
    assert not {row[0] for row in others} & set(near)
    assert search(query, threshold=1) == []
    assert len(search(query, threshold=-1, limit=ROWS)) == ROWS


def test_few_objects_and_an_index_that_gives_up_are_compared_exactly(owner):
    made = served("bits")
    query = clustered(made.store_table, owner=owner)[0]
    few = search(query, metadata='{"few": true}', exact_search_max_chunks=100, limit=40)
    assert (json.loads(few[0][3])["plan"], len(few)) == ("exact_filtered", ROWS // 100)
    sql("SET hnsw.max_scan_tuples = 100")
    try:
        rows = search(query, limit=1500)
    finally:
        sql("RESET hnsw.max_scan_tuples")
    assert (json.loads(rows[0][3])["plan"], len(rows)) == ("retried_exactly", 1500)


def test_index_of_one_model(owner):
    made = served("bits")
    query = clustered(made.store_table, owner=owner)[0]
    (source,) = {row.content_type_id for row in ExternalData.objects.all()[:1]}
    assert ": built" in run("pgknowbase_space", "index", model="blog.Article")
    kinds = {(one["model"], one["kind"]) for one in json.loads(run("pgknowbase_space", "indexes", format="json"))}
    assert {("all", "binary"), ("blog.article", "binary")} <= kinds
    rows = search(query, sources=[source])
    assert json.loads(rows[0][3])["index"].endswith(f"_hnsw_{source}")
    assert [row[0] for row in rows] == [row[0] for row in search(query, "exact")]


def test_from_halfvec_to_binary_with_no_downtime():
    """Through the managers, under writes, on to binary on halfvec and back."""
    words = ["harbour", "violin", "granite", "meadow", "lantern", "copper"]
    rows = Article.objects.bulk_create(
        [Article(title=f"{a} {b}", body=f"The {a} near the {b}.") for a, b in combinations(words, 2)]
    )
    work()
    texts = {row: f"{row.external_data.document.title}\n{row.external_data.document.content}" for row in rows}

    def searching(ended):
        while not ended.is_set():
            for row, text in texts.items():
                (found,) = Article.objects.semantic_search(text, limit=1, threshold=-1)
                assert (found.pk, found.similarity > 0.99) == (row.pk, True)

    def writing(ended):
        while not ended.is_set():
            Article.objects.create(title="passing", body="words " * 200)
            Article.objects.filter(title="passing").update(body="other words " * 150)
            ended.wait(0.05)

    plans = []
    with in_thread(searching), in_thread(writing), worker_running():
        for name in ("bits", "small"):
            space_command("add", name)
            space_command("fill", name)
            space_command("activate", name)
            plans.append(Article.objects.semantic_search("violin", threshold=-1).explain_search())
        space_command("rollback")
    work()
    # Rows that come and go make holes in so small an index.
    assert {plan.plan for plan in plans} <= {"walk_binary", "retried_exactly"}
    assert space("bits").is_active
    for name in ("default", "bits", "small"):
        assert_space_in_sync(name)
    assert_in_sync(Article)


def test_halfvec_store_keeps_the_embeddings_of_unchanged_chunks():
    made = served("small")
    typed = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s"
    assert sql(typed, [made.store_table, "embedding"]) == [("halfvec(256)",)]
    assert sql(typed, [f"{made.store_table}_view", "embedding"]) == [("halfvec(256)",)]
    body = "\n\n".join(f"Paragraph {n} about {n}. " * 20 for n in range(6))
    article = Article.objects.create(title="long", body=body)
    assert work().embedded >= 12  # for both spaces
    kept = set(sql(f"SELECT embedding_uuid FROM {made.store_table}"))
    Article.objects.filter(pk=article.pk).update(body=body + "\n\nOne more.")
    work()
    assert_space_in_sync("small")
    after = set(sql(f"SELECT embedding_uuid FROM {made.store_table}"))
    assert len(kept & after) >= len(kept) - 1
    assert len(sql(f"SELECT 1 FROM {made.store_table}_view WHERE title = 'long'")) == len(after)
    assert article.pk in [row.pk for row in Article.objects.semantic_search(body[:300], threshold=-1)]


def test_options_of_add_are_shown_and_checked():
    space_command("add", "plain", index="binary", storage="halfvec")
    assert (space("plain").index, space("plain").storage) == ("binary", "halfvec")
    listed = {line.split()[0]: line.split() for line in space_command("list").splitlines()}
    assert [listed["plain"][-2:], listed["default"][-3:-1]] == [["binary", "halfvec"], ["halfvec", "vector"]]
    assert listed["(bits)"][-2:] == ["binary", "vector"]
    with pytest.raises(CommandError, match="'halfvec' or 'binary'"):
        space_command("add", "other", index="ternary")
    wrong = {"bits": {"INDEX": "binary", "STORAGE": "bit"}}
    with (
        override_settings(PGKNOWBASE=project(SPACES=wrong)),
        pytest.raises(ConfigurationError, match=r"SPACES\.bits\.STORAGE.*'vector' or 'halfvec'"),
    ):
        get_settings()
