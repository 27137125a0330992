"""The SQL search functions as psql users call them."""

import pytest
from django.db import DatabaseError, connection, transaction

from pgknowbase.embeddings.query_vectors import literal
from pgknowbase.models import Document, ExternalData
from tests.integration.search.conftest import QUERY, nearness
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db
VECTOR = literal(nearness(QUERY))
COLUMNS = [
    "source",
    "object_key",
    "external_data_id",
    "chunk_seq",
    "chunk",
    "span",
    "similarity",
    "keyword_score",
    "score",
]
FUNCTIONS = ["pgknowbase_search_dense_v1", "pgknowbase_search_exact_v1"]


def fetch(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture
def articles(index):
    made = [Article.objects.create(title=f"a{n}", body=f"near 0.{n}") for n in range(1, 8)]
    index()
    return made


@pytest.mark.parametrize("function", FUNCTIONS)
def test_columns(articles, function):
    first, *_ = fetch(f"SELECT * FROM {function}(%s, 2)", VECTOR)
    assert list(first) == COLUMNS
    content = Document.objects.get(id=first["object_key"]).content
    span = first["span"]
    assert content[span.lower : span.upper] in first["chunk"]
    assert span.lower == 0
    assert (first["similarity"], first["keyword_score"]) == (first["score"], None)


def test_columns_of_more_like_this(articles):
    data = articles[0].external_data
    assert (
        list(
            fetch(
                "SELECT * FROM pgknowbase_similar_v1(ARRAY[%s], ARRAY[%s], 2)", data.content_type_id, data.object_key
            )[0]
        )
        == COLUMNS
    )


def test_spans_of_several_chunks(index):
    text = "\n\n".join(f"near 0.{n} é💡" + " word" * 100 for n in (1, 9, 2))
    note = Note.notes.create(text=text)
    index()
    (hit,) = Note.notes.semantic_search(QUERY)
    assert note.text[hit.matched_span.lower : hit.matched_span.upper] == hit.matched_chunk.strip("\n")
    assert hit.matched_chunk.strip().startswith("near 0.9")
    assert hit.matched_span.lower > 400


def test_no_span_where_the_text_has_changed_since(articles):
    Document.objects.update(content="something else")
    assert [row.matched_span for row in Article.objects.semantic_search(QUERY, limit=1)] == [None]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("below", [0, 1000])
def test_skip(articles, function, below):
    more = f", exact_search_max_chunks => {below}" if "dense" in function else ""

    def keys(limit, skip):
        return [
            row["object_key"]
            for row in fetch(f"SELECT * FROM {function}(%s, %s, skip => %s{more})", VECTOR, limit, skip)
        ]

    best = [str(article.pk) for article in reversed(articles)]
    assert keys(3, 0) == best[:3]
    assert keys(3, 2) == best[2:5]
    assert keys(3, 6) == best[6:]
    assert keys(3, 7) == keys(3, 2**31 - 1) == []
    assert keys(2**31 - 1, 0) == best
    assert keys(2**31 - 1, 2**31 - 1) == []
    assert keys(2, -5) == best[:2]
    assert keys(0, 0) == keys(-1, 0) == keys(None, 0) == []


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "vector", ["[1, 2]", "[NaN]", "[inf]", "abc", "", "'; DROP TABLE x; --", "[" + "0," * 255 + "0]"]
)
def test_bad_vectors(articles, function, vector):
    try:
        with transaction.atomic():
            rows = fetch(f"SELECT * FROM {function}(%s::text::halfvec, 5)", vector)
    except DatabaseError as error:
        state = error.__cause__.sqlstate
        assert state[:2] == "22"
    else:
        assert vector.startswith("[0,"), "only zeros may be compared, with nothing"
        assert rows == []
    assert fetch(f"SELECT * FROM {function}(NULL, 5)") == []


TEXT_PARAMETERS = {
    "visible_to": "visible_to => %s",
    "tags": "tags => ARRAY[%s]",
    "metadata": "metadata => jsonb_build_object('a', %s)",
    "object_keys": "object_keys => ARRAY[%s]",
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("parameter", TEXT_PARAMETERS)
@pytest.mark.parametrize("text", ["'; DROP TABLE blog_article; --", "%", "x" * 1_000_000, "", "NULL", "{}"])
def test_text_is_only_text(articles, function, parameter, text):
    assert (
        fetch(f"SELECT * FROM {function}(%s, 5, pgknowbase_filter_v1({TEXT_PARAMETERS[parameter]}))", VECTOR, text)
        == []
    )
    assert Article.objects.count() == 7


def test_inlined_filters_use_the_indexes(articles):
    """Whatever the statistics say: sequential scans are switched off."""
    predicate = "pgknowbase_matches_filter(e, pgknowbase_filter_v1({}))"
    sql = f"EXPLAIN SELECT 1 FROM pgknowbase_externaldata AS e WHERE {predicate}"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
    for given, used in (
        ("metadata => '{\"a\": 1}'", "pgknowbase_ext_metadata"),
        ("matching => 'strict $.\"a\" == 1'", "pgknowbase_ext_metadata"),
        ("tags => ARRAY['x']", "pgknowbase_ext_tags"),
    ):
        plan = "\n".join(row["QUERY PLAN"] for row in fetch(sql.format(given)))
        assert used in plan
        assert "pgknowbase_" not in plan.replace("pgknowbase_ext", "")


def test_inactive_objects_are_no_hits(articles):
    ExternalData.objects.filter(title="a7").update(is_active=False)
    for below in (0, 1000):
        rows = fetch("SELECT * FROM pgknowbase_search_dense_v1(%s, 1, exact_search_max_chunks => %s)", VECTOR, below)
        assert [row["object_key"] for row in rows] == [str(articles[5].pk)]


def test_spans_are_one_join_and_only_where_asked_for(articles):
    plan = fetch(
        "EXPLAIN SELECT p.span FROM pgknowbase_chunk AS c"
        " LEFT JOIN LATERAL pgknowbase_chunk_offsets(c.source, c.id, c.chunk, '') AS p ON true"
    )
    shown = " ".join(row["QUERY PLAN"] for row in plan)
    assert "pgknowbase_document" in shown
    assert "pgknowbase_chunk_offsets" not in shown
    for function in FUNCTIONS:
        assert {row["span"] for row in fetch(f"SELECT * FROM {function}(%s, 3, spans => false)", VECTOR)} == {None}
        spans = [row["span"] for row in fetch(f"SELECT * FROM {function}(%s, 3)", VECTOR)]
        assert [(span.lower, span.upper) for span in spans] == [(0, 25)] * 3
    both = fetch(
        "SELECT * FROM pgknowbase_search_hybrid_v1('near', %s, 3, pgknowbase_filter_v1(threshold => -1))", VECTOR
    )
    assert [(row["span"].lower, row["span"].upper) for row in both] == [(0, 25)] * 3
