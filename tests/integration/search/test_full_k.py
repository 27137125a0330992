"""With filters that m rows pass, a search for k gives the best min(k, m) of them; and explain_search says how."""

import pytest
from django.db import connection

from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search.plan import HybridStep
from tests.integration.search.conftest import QUERY, store
from tests.projects.blog.models import Article
from tests.vector_index import make_vector_index

pytestmark = pytest.mark.django_db
ROWS = 3000
FILL = """
WITH source AS (SELECT id AS ct FROM django_content_type WHERE app_label = 'blog' AND model = 'article'), row AS (
    INSERT INTO blog_article (title, body, status, views, year)
    SELECT 'a' || n, '', 'published', n, 0 FROM generate_series(0, %(rows)s - 1) AS n RETURNING id, views AS n
), data AS (
    INSERT INTO pgknowbase_externaldata (
        source_type, content_type_id, object_key, title, description, content_hash, metadata, tags, is_public,
        is_active, similarity_threshold, status, error, attempts, chunk_count)
    SELECT 'model', ct, row.id::text, 'a' || n, '', '', jsonb_build_object('n', n, 'mod', n %% 100),
        CASE WHEN n %% 50 = 0 THEN ARRAY['rare'] ELSE '{}' END, n %% 2 = 0, true, 0, 'completed', '', 0, 1
    FROM row, source
)
INSERT INTO STORE (source, id, chunk_seq, chunk, embedding, tokens)
SELECT ct, row.id::text, 0, 'chunk ' || n, (
    SELECT array_agg(CASE d
        WHEN 1 THEN 1 WHEN 2 THEN (1 + n %% 1000 / 1024.0) * 2 ^ (n / 1000) ELSE 0 END ORDER BY d)
    FROM generate_series(1, 256) AS d)::vector, 1
FROM row, source
"""


@pytest.fixture
def many(index):
    """The lower ``views``, the nearer to QUERY; all similarities differ, in half precision too."""
    Article.objects.create(title="x", body="near 1")
    index()
    Article.objects.all().delete()
    index()
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {store()}")
        # An index is made of many rows in less time than it takes in one after the other.
        cursor.execute(f'DROP INDEX "{make_vector_index()}"')
        cursor.execute(FILL.replace("STORE", store()), {"rows": ROWS})
        make_vector_index()
        cursor.execute("ANALYZE blog_article, pgknowbase_externaldata")


def found(rows):
    return [row.views if isinstance(row, Article) else row.metadata["n"] for row in rows]


def narrowings(m):
    """Searches that m rows pass, spread over all distances, by each kind of filter; and which rows pass."""
    step, offset = ROWS // m, min(7, ROWS // m - 1)
    passing = list(range(offset, ROWS, step))[:m]
    by_rows = (
        Article.objects.filter(views__in=passing)
        if m <= 300
        else Article.objects.extra(where=[f"views %% {step} = {offset} AND views <= {passing[-1]}"])
    )
    data = ExternalData.objects.filter(metadata__n__in=passing)
    options = {"limit": 20, "threshold": -1}
    yield passing, by_rows.semantic_search(QUERY, **options)
    yield passing, data.search(QUERY, **options)
    if m <= 500:
        yield passing, Article.objects.semantic_search(QUERY, metadata={"n": {"in": passing}}, **options)
    far = list(range(ROWS - m, ROWS))
    yield far, Article.objects.semantic_search(QUERY, metadata={"n": {"gte": ROWS - m}}, **options)
    yield far, Article.objects.filter(views__gte=ROWS - m).semantic_search(QUERY, **options)
    yield far[10:], Article.objects.filter(views__gte=ROWS - m).semantic_search(QUERY, offset=10, **options)


def test_full_k_at_any_selectivity(many, settings):
    for exact_search_max_chunks in (0, 100, 15_000):
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": exact_search_max_chunks}}
        for m in (1, 3, 30, 300, 1500, 3000):
            for number, (passing, rows) in enumerate(narrowings(m)):
                case, best, numbers = (exact_search_max_chunks, m, number), passing[:20], found(rows)
                assert len(numbers) == len(best), case
                assert set(numbers) <= set(passing), case
                assert numbers == sorted(numbers), case
                # A walk along the vector index may miss one of the best, and takes the next one.
                assert numbers == best or exact_search_max_chunks < m, case


def explained(rows, plan, *words):
    shown = rows.explain_search()
    assert shown.plan == plan, shown
    assert all(word in str(shown) for word in words), shown
    assert shown.found == len(rows)
    return shown


def test_explain_search_says_which_plan_and_why(many, settings):
    rows = Article.objects.semantic_search(QUERY, threshold=-1)
    explained(rows, "exact_index", "exact over the index", "bytes")
    few = Article.objects.filter(views__lt=30).semantic_search(QUERY, threshold=-1)
    explained(few, "exact_filtered", "30 pass, of at most 15,000")
    explained(Article.objects.none().semantic_search(QUERY), "nothing", "no row passes")
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 100}}
    walk = explained(
        Article.objects.semantic_search(QUERY, threshold=-1),
        "walk",
        "index walk: 10 chunks",
        "ef_search 100",
        "10 of 10 found",
    )
    assert (walk.limit, walk.offset, len(walk.steps)) == (10, 0, 1)
    assert (walk.steps[0].walked, walk.steps[0].exact_search_max_chunks) == (10, 100)
    tagged = explained(
        Article.objects.semantic_search(QUERY, tags=["rare"]), "exact_filtered", "60 pass, of at most 100"
    )
    assert tagged.steps[0].walked == 0
    wide = Article.objects.filter(views__gte=200).semantic_search(QUERY, threshold=-1)
    assert len(explained(wide, "walk").steps) > 1
    explained(ExternalData.objects.search(QUERY, threshold=-1), "walk")
    explained(Article.objects.get(views=5).similar(threshold=-1), "walk")
    # What the planner believes says how to search, not what is found.
    rows = Article.objects.semantic_search(QUERY, tags=["rare"], threshold=-1)
    # Sixty are believed to pass, and more than may be compared do.
    ExternalData.objects.filter(metadata__n__gte=2000).update(tags=["rare"])
    (step,) = explained(rows, "walk", "10 of 10 found").steps
    assert (step.passing, set(found(rows)) <= set(range(0, ROWS, 50))) == (101, True)
    # All are believed to pass, and few that are far away do.
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE pgknowbase_externaldata")
    ExternalData.objects.filter(metadata__n__lt=ROWS - 30).update(tags=[])
    rows = Article.objects.semantic_search(QUERY, tags=["rare"], threshold=-1)
    (step,) = explained(rows, "exact_filtered", "30 pass, of at most 100").steps
    assert (step.walked, found(rows)) == (80, list(range(ROWS - 30, ROWS - 20)))


def test_more_than_are_compared_are_not_looked_at_in_vain(many, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 100}}
    ExternalData.objects.filter(metadata__n__in=range(0, ROWS, 15)).update(tags=["some"])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE pgknowbase_externaldata")
    rows = Article.objects.semantic_search(QUERY, tags=["some"], threshold=-1)
    (step,) = explained(rows, "walk", "10 of 10 found").steps
    assert (step.walked > 80, step.passing) == (True, None)
    assert set(found(rows)) <= set(range(0, ROWS, 15))


def test_index_walks_on_where_what_it_takes_at_a_time_does_not_suffice(many, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 0}}
    ExternalData.objects.filter(metadata__n__lt=150).update(is_active=False)
    search = ExternalData.objects.search(QUERY, threshold=-1)
    (step,) = explained(search, "walk", "ef_search 100", "10 of 10 found").steps
    # The walk may miss one of the best.
    assert (step.walked > 100, min(found(search)) >= 150, max(found(search)) < 200) == (True, True, True)


def test_hybrid_search_takes_from_the_index_what_its_first_hits_need(many, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 0}}

    def walk(**asked):
        (step,) = ExternalData.objects.search(QUERY, threshold=-1, **asked).explain_search().steps
        dense = step.dense if isinstance(step, HybridStep) else step
        return dense.ef_search, dense.walked

    assert walk(mode="hybrid") == (120, 100)
    assert len(found(ExternalData.objects.search(QUERY, mode="hybrid", threshold=-1))) == 10
    # Of as many hits as it compares with words, a search by meaning alone must not miss any.
    assert walk(limit=100) == (200, 100)
    assert walk(mode="hybrid", limit=80) == (160, 160)


def test_explain_search_when_the_index_gives_up(many, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 0}}
    rows = Article.objects.semantic_search(QUERY, metadata={"n": {"gte": ROWS - 5}}, threshold=-1)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL hnsw.max_scan_tuples = 100")
    explained(rows, "retried_exactly", "gave up after", "5 of 10 found")


def test_explain_search_holds_for_what_comes_after(many):
    rows = Article.objects.semantic_search(QUERY).filter(views__gt=3).order_by("title")
    assert rows.explain_search().plan == "exact_index"
    with pytest.raises(SearchError, match="not the result of a search"):
        Article.objects.filter(views__gt=3).explain_search()
