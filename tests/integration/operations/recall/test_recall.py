"""What ``pgknowbase_tune recall`` measures is what counting by hand gives, and what it saves is what searches use."""

import json
import math
import random
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from pgknowbase.core import gateway
from pgknowbase.embeddings.query_vectors import literal
from pgknowbase.models import EmbeddingSpace, RecallMeasurement
from pgknowbase.operations.recall import (
    ALL_MODELS,
    RecallBenchmark,
    SearchCase,
    current_ef_search,
    recall,
    sample_queries,
    search_cases,
    smallest_reaching,
)
from tests.projects.blog.models import Article

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else None


def run(*arguments, **options):
    out = StringIO()
    call_command("pgknowbase_tune", "recall", *arguments, stdout=out, stderr=StringIO(), verbosity=0, **options)
    return out.getvalue()


def everything(queries, limit=10):
    return RecallBenchmark("default", SearchCase(ALL_MODELS, None, 10_000, 10_000), queries, limit, 0)


@pytest.fixture
def queries():
    return sample_queries("default", None, 30, 1)


def by_hand(store, queries, ef_search):
    """Recall@10 of the bare index, compared by hand with a scan of all vectors.

    Of vectors equally far away as the tenth, any is as good as it: which of them a scan returns is chance.
    """
    shares = []
    for vector in queries:
        distance = "embedding::halfvec(256) <=> %s::halfvec(256)"
        nearest = f"SELECT {distance} FROM {store} WHERE NOT is_copy ORDER BY {distance} LIMIT 10"
        exactly = f"SELECT {distance} FROM {store} ORDER BY ({distance}) + 0 LIMIT 10"
        sql(
            "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'strict_order', true)",
            str(ef_search),
        )
        sql("SELECT set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)")
        found = [far for (far,) in sql(nearest, literal(vector), literal(vector))]
        sql("SELECT set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true)")
        tenth = sql(exactly, literal(vector), literal(vector))[-1][0]
        shares.append(sum(far <= tenth for far in found) / 10)
    return sum(shares) / len(shares)


def test_recall_is_what_counting_by_hand_gives(store, queries):
    bench = everything(queries)
    low, high = bench.measure(10), bench.measure(200)
    assert low.recall < high.recall
    assert low.recall == pytest.approx(by_hand(store, queries, 10), abs=1e-9)
    assert high.recall == pytest.approx(by_hand(store, queries, 200), abs=1e-9)
    assert low.milliseconds > 0
    assert bench.exact[1] > low.milliseconds


def test_recall_of_a_filter(queries):
    found, without = search_cases("default", ALL_MODELS, None, (1.0, 0.5, 0.1, 0.001, 0.0001))
    assert [(re.sub(r"\d+", "n", case.filter), case.passing) for case in found] == [
        ("", 10_000),
        ('metadata {"half": false}', 5_000),
        ('tags ["few"]', 800),
        ('metadata {"number": n}', 1),
    ]
    assert without == [0.001]
    half = RecallBenchmark("default", found[1], queries[:10], 10, 0)
    (rows,) = {len(rows) for rows in half.exact[0]}
    assert rows == 10
    best = sql(
        "SELECT 1 - (c.embedding <=> %s::halfvec) FROM pgknowbase_chunk AS c"
        " WHERE c.id::int %% 2 = 0 ORDER BY 1 DESC LIMIT 10",
        literal(queries[0]),
    )
    assert half.exact[0][0] == pytest.approx([similarity for (similarity,) in best])
    assert half.measure(200).recall > 0.9


def test_cases_of_one_model():
    source = sql("SELECT id FROM django_content_type WHERE (app_label, model) = ('blog', 'note')")[0]
    found, _ = search_cases("default", "blog.Note", source, (1.0, 0.5))
    assert [(case.passing, case.objects) for case in found] == [(2_500, 2_500)]


def test_sample_is_reproducible_and_moved():
    first, again, other = (sample_queries("default", None, 5, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    ((stored,),) = sql("SELECT max(1 - (embedding <=> %s::halfvec)) FROM pgknowbase_chunk", literal(first[0]))
    assert 0.95 < stored < 0.999


def test_binary_search_finds_the_smallest():
    rng = random.Random(5)
    for _ in range(50):
        threshold = rng.randint(1, 1100)
        asked = []
        found = smallest_reaching(lambda ef, at=threshold, to=asked: to.append(ef) or float(ef >= at), 1.0)
        assert found == (None if threshold > 1000 else max(40, threshold))
        assert len(asked) <= 2 + math.log2(1000)


def test_ties_count_as_found():
    assert recall([0.9, 0.8, 0.7], [0.9, 0.8, 0.7]) == 1
    assert recall([0.9, 0.7, 0.6], [0.9, 0.8, 0.7]) == pytest.approx(2 / 3)
    assert recall([0.9, 0.9], [0.9, 0.9, 0.9]) == pytest.approx(2 / 3)
    assert recall([], [0.9]) == 0


def test_command_measures_saves_and_keeps_history(settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 0}}
    EmbeddingSpace.objects.update(ef_search=40)
    told = json.loads(run("--queries", "20", "--selectivity", "1", "--target", "0.95", "--save", format="json"))
    assert [row["model"] for row in told] == [ALL_MODELS, "blog.Article", "blog.Note"]
    assert {row["ef_search"] for row in told} == {40}
    needed = max(row["needed"] for row in told)
    assert EmbeddingSpace.objects.get(is_active=True).ef_search == needed == current_ef_search("default")
    again = json.loads(run("--queries", "20", "--selectivity", "1", "--target", "0.95", format="json"))
    assert all(row["recall"] >= 0.95 for row in again)
    assert {row["ef_search"] for row in again} == {needed}
    assert RecallMeasurement.objects.count() == 6
    history = run("--history")
    assert history.count("blog.Note") == 2
    assert history.splitlines()[0].split()[:3] == ["measured_at", "space", "model"]


def test_saved_number_is_what_searches_use(queries):
    bench = everything(queries)
    for ef_search in (20, 200):
        EmbeddingSpace.objects.update(ef_search=ef_search)
        found = [
            gateway.fetch(
                "default",
                "similarities",
                vector=literal(v),
                limit=10,
                sources=None,
                metadata=None,
                tags=None,
                exact_search_max_chunks=0,
            )
            for v in queries
        ]
        mine = [[similarity for (similarity,) in rows] for rows in found]
        mean = sum(recall(a, b) for a, b in zip(mine, bench.exact[0], strict=True)) / len(mine)
        assert mean == pytest.approx(bench.measure(ef_search).recall)
        sql(
            "SELECT count(*) FROM pgknowbase_search_dense_v1("
            "%s::halfvec, 10, exact_search_max_chunks => 0, record_plan => true)",
            literal(queries[0]),
        )
        assert sql("SELECT (current_setting('pgknowbase.search_plan')::jsonb ->> 'ef_search')::int") == [(ef_search,)]


def test_nothing_outlasts_a_measurement(queries):
    everything(queries[:2]).measure(77)
    assert sql("SELECT current_setting('pgknowbase.ef_search', true), current_setting('hnsw.ef_search', true)")[0][
        0
    ] in ("", None)


def test_target_out_of_reach(settings, monkeypatch):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 0}}
    monkeypatch.setattr("pgknowbase.operations.recall.MAX_EF_SEARCH", 40)
    # A graph with so few edges misses much; the transaction of the test brings the good one back.
    name = f"{EmbeddingSpace.objects.get(is_active=True).store_table}_hnsw"
    ((schema, definition),) = sql("SELECT schemaname, indexdef FROM pg_indexes WHERE indexname = %s", name)
    sql(f'DROP INDEX "{schema}"."{name}"')
    sql(re.sub(r"WITH \(.*\)", "WITH (m = 2, ef_construction = 4)", definition))
    with pytest.raises(CommandError, match=r"does not reach 1\.0: nothing was saved"):
        run("blog.Article", "--selectivity", "1", "--target", "1", "--save")
    assert EmbeddingSpace.objects.get(is_active=True).ef_search is None


def test_small_store_has_nothing_to_tune(settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 1_000_000}}
    assert json.loads(run("blog.Note", "--queries", "3", "--selectivity", "1", format="json"))[0]["recall"] == 1
    with pytest.raises(CommandError, match="so small that searches compare every chunk"):
        run("blog.Note", "--queries", "3", "--selectivity", "1", "--save")


def test_queries_of_a_file(tmp_path):
    path = tmp_path / "queries.txt"
    path.write_text("how to read a file\n\nsorting a list\n")
    (row,) = json.loads(run("blog.Article", "--queries-file", str(path), "--selectivity", "1", format="json"))
    assert row["queries"] == 2
    path.write_text("\n")
    with pytest.raises(CommandError, match="holds no text"):
        run("--queries-file", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        run("--queries-file", str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    "arguments", [["--target", "2"], ["--selectivity", "0.5,x"], ["--limit", "0"], ["--limit", "5000"]]
)
def test_wrong_arguments(arguments):
    with pytest.raises((CommandError, SystemExit)):
        run(*arguments)


def test_unknown_model():
    with pytest.raises(CommandError, match=f"use one of {Article._meta.label}"):
        run("blog.Category")


def test_recall_behind_filters(store, queries):
    """A walk where many pass, exact where few do: whatever the filter, nearly all of the best are found."""
    found, _ = search_cases("default", ALL_MODELS, None, (1.0, 0.5, 0.1, 0.0001))
    for case in found:
        bench = RecallBenchmark("default", case, queries, 10, 2_000)
        used = current_ef_search("default", filtered=bool(case.filter))
        assert bench.measure(used).recall >= 0.99, case
    half = [case for case in found if case.selectivity == 0.5]
    with transaction.atomic():
        sources, metadata, tags = half[0].params
        sql(
            "SELECT * FROM pgknowbase_search_dense_v1(%s, 10, pgknowbase_filter_v1(%s, metadata => %s, tags => %s),"
            " exact_search_max_chunks => 2000, record_plan => true)",
            literal(queries[0]), sources, metadata, tags,
        )  # fmt: skip
        plan = json.loads(sql("SELECT current_setting('pgknowbase.search_plan')")[0][0])
    assert (plan["plan"], plan["ef_search"]) == ("walk", 200)
