"""What is chained before a search holds inside it; what comes after behaves as on any queryset."""

import pickle

import pytest
from asgiref.sync import async_to_sync
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Count, Exists, F, Max, OuterRef, Value

from pgknowbase.embeddings import query_vectors
from pgknowbase.errors import NotIndexedError, SearchError, SpaceMismatchError
from pgknowbase.models import ExternalData
from tests.integration.search.conftest import QUERY
from tests.projects.blog.models import Article, Category, Note, Slug

pytestmark = pytest.mark.django_db


@pytest.fixture
def articles(index):
    """Forty articles, the n-th with a similarity of n/100 to QUERY."""
    categories = [Category.objects.create(name=name) for name in ("even", "odd")]
    rows = Article.objects.bulk_create(
        [
            Article(title=f"a{n}", body=f"near {n / 100}", category=categories[n % 2], year=2000 + n, views=n)
            for n in range(1, 41)
        ]
    )
    index()
    return rows


def titles(rows):
    return [row.title for row in rows]


def best(*numbers):
    return [f"a{n}" for n in numbers]


def test_best_first_with_similarity_and_chunk(articles):
    found = list(Article.objects.semantic_search(QUERY, limit=3))
    assert titles(found) == best(40, 39, 38)
    assert [round(row.similarity, 2) for row in found] == [0.4, 0.39, 0.38]
    assert "near 0.4" in found[0].matched_chunk


@pytest.mark.parametrize(
    ("narrow", "numbers"),
    [
        (lambda rows: rows.filter(views__lte=5), (5, 4, 3)),
        (lambda rows: rows.exclude(views__gt=7), (7, 6, 5)),
        (lambda rows: rows.filter(category__name="odd"), (39, 37, 35)),
        (lambda rows: rows.filter(views=12), (12,)),
        (lambda rows: rows.filter(views=-1), ()),
        (lambda rows: rows.none(), ()),
        (lambda rows: rows.order_by("views")[:10], (10, 9, 8)),
        (lambda rows: rows.order_by("views")[5:7], (7, 6)),
        (lambda rows: rows.annotate(twice=F("views") * 2).filter(twice__lt=8), (3, 2, 1)),
        (lambda rows: rows.filter(category__article__views=3).distinct(), (39, 37, 35)),
        (lambda rows: rows.order_by("category", "views").distinct("category"), (2, 1)),
        (lambda rows: rows.using("default").select_related("category"), (40, 39, 38)),
        (lambda rows: rows.filter(views__lt=5) | rows.filter(views=30), (30, 4, 3)),
    ],
)
def test_chained_before_holds_inside(articles, narrow, numbers):
    assert titles(narrow(Article.objects.all()).semantic_search(QUERY, limit=3)) == best(*numbers)


@pytest.mark.parametrize("exact_search_max_chunks", [0, 1, 15])
def test_wide_filters_give_full_k(vector_index, articles, settings, exact_search_max_chunks):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": exact_search_max_chunks}}
    assert titles(Article.objects.filter(views__lte=20).semantic_search(QUERY, limit=4)) == best(20, 19, 18, 17)
    assert titles(Article.objects.filter(views__lte=2).semantic_search(QUERY, limit=4)) == best(2, 1)


def test_after_a_search_it_is_a_queryset(articles):
    found = Article.objects.semantic_search(QUERY, limit=10)
    assert found.count() == 10
    assert found.exists()
    assert titles(found.filter(views__gt=38)) == best(40, 39)
    assert titles(found.exclude(title="a40")[:2]) == best(39, 38)
    assert titles(found.order_by("views")[:2]) == best(31, 32)
    assert found.first().title == "a40"
    assert found.last().title == "a31"
    assert list(found.values_list("title", flat=True)[:2]) == best(40, 39)
    assert found.values("title", "similarity")[0] == {"title": "a40", "similarity": pytest.approx(0.4, abs=1e-3)}
    assert found.aggregate(n=Count("pk"))["n"] == 10
    assert titles(Paginator(found, 4).page(3)) == best(32, 31)
    assert found.get(views=35).matched_chunk.endswith("2035")
    assert [row.category.name for row in found.select_related("category")[:2]] == ["even", "odd"]
    assert [row.category.name for row in found.prefetch_related("category")[:2]] == ["even", "odd"]
    assert Category.objects.filter(article__in=found.filter(views=40)).get().name == "even"
    assert found.annotate(one=Value(1))[0].one == 1


def test_search_is_lazy_and_runs_once(articles, provider, django_assert_num_queries):
    with django_assert_num_queries(0):
        found = Article.objects.semantic_search(QUERY)
    list(found)
    with django_assert_num_queries(1):
        assert found.filter(views__gt=1).count() == 10


def test_search_costs_a_constant_number_of_statements(articles, django_assert_max_num_queries):
    with django_assert_max_num_queries(4):
        list(Article.objects.filter(views__gt=3).semantic_search(QUERY, limit=20))


def test_threshold_per_row_or_given(index):
    Article.objects.create(title="t", body="near 0.3")
    index()
    ExternalData.objects.update(similarity_threshold=0.5)
    assert not Article.objects.semantic_search(QUERY)
    assert len(Article.objects.semantic_search(QUERY, threshold=0.2)) == 1
    assert not Article.objects.semantic_search(QUERY, threshold=0.4)


def test_high_thresholds_crowd_nobody_out(index, settings):
    Note.notes.bulk_create([Note(text=f"{n} near 0.6") for n in range(120)])
    low = Note.notes.create(text="near 0.2")
    index()
    ExternalData.objects.exclude(object_key=str(low.pk)).update(similarity_threshold=0.9)
    assert list(Note.notes.semantic_search(QUERY, limit=5)) == [low]


def test_one_hit_for_an_object_of_many_chunks(index):
    long = "\n\n".join(f"near 0.{n}" + " x" * 300 for n in (9, 8, 7, 6, 5))
    many, one = Note.notes.create(text=long), Note.notes.create(text="near 0.4")
    index()
    found = list(Note.notes.semantic_search(QUERY, limit=2))
    assert found == [many, one]
    assert "near 0.9" in found[0].matched_chunk


def test_metadata_and_tags(articles):
    assert titles(Article.objects.semantic_search(QUERY, metadata={"year": 2007})) == best(7)
    assert titles(Article.objects.semantic_search(QUERY, limit=2, tags=["odd"])) == best(39, 37)
    assert not Article.objects.semantic_search(QUERY, tags=["odd", "even"])


def test_similar_leaves_itself_out(articles, index):
    assert titles(articles[19].similar(2)) in (best(21, 19), best(19, 21))
    assert titles(Article.objects.filter(views__gt=30).similar_to(articles[9], limit=1)) == best(31)
    fresh = Article.objects.create(title="new", body="near 0.5")
    with pytest.raises(NotIndexedError, match="sync it"):
        list(fresh.similar())
    with pytest.raises(SearchError, match="not a row of a source model"):
        Article.objects.similar_to(Category.objects.first())


def test_similar_to_several_rows(articles, index):
    # Of the middle of two, the nearest are those between them.
    between = titles(Article.objects.similar_to([articles[4], articles[8]], limit=3))
    assert set(between) == {articles[n].title for n in (5, 6, 7)}
    assert titles(Article.objects.similar_to([articles[4], articles[8]], limit=2, offset=1)) == between[1:]
    assert titles(Article.objects.similar_to(Article.objects.filter(pk=articles[19].pk), limit=2)) == titles(
        articles[19].similar(2)
    )
    assert not Article.objects.similar_to(articles, limit=100)
    fresh = Article.objects.create(title="new", body="near 0.5")
    assert titles(Article.objects.similar_to([fresh, articles[4], articles[8]], limit=3)) == between
    note = Note.notes.create(text="near 0.9")
    index()
    for objects in (Article.objects, ExternalData.objects):
        assert len(objects.similar_to([note, articles[4]], limit=3)) == 3
    with pytest.raises(NotIndexedError):
        list(Article.objects.similar_to([Article(pk=0), Article(pk=-1)]))
    for wrong in ([], [articles[0]] * 101, [articles[0], Category(pk=1)], [articles[0], None], 5, "text", None):
        with pytest.raises(SearchError):
            Article.objects.similar_to(wrong)


def test_across_models(index):
    article = Article.objects.create(title="t", body="near 0.5")
    note = Note.notes.create(text="near 0.7")
    Slug.objects.create(key="k", text="near 0.9").sync_to_external_data()
    index()

    def found(**options):
        return [hit.source_object for hit in ExternalData.objects.search(QUERY, **options)]

    assert found(models=[Article, Note]) == [note, article]
    assert found(limit=1) == [Slug.objects.get()]
    assert [hit.source_model for hit in ExternalData.objects.filter(title="t").search(QUERY)] == [Article]
    assert found(models=[]) == []


def test_row_that_is_gone_is_no_hit_and_the_next_takes_its_place(articles):
    articles[-1].delete()
    assert titles(Article.objects.semantic_search(QUERY, limit=2)) == best(39, 38)


def test_async_twins(articles):
    async def run():
        found = await Article.objects.asemantic_search(QUERY, limit=2)
        walked = [row async for row in Article.objects.semantic_search(QUERY, limit=2)]
        by_class = await Article.asemantic_search(QUERY, limit=2)
        like = await articles[0].asimilar(1)
        across = await ExternalData.objects.asearch(QUERY, limit=1)
        alike = await ExternalData.objects.asimilar_to(articles[0], limit=1)
        hits = [hit.title for hit in across], [hit.title for hit in alike]
        return titles(found), titles(walked), titles(by_class), titles(like), *hits

    two = best(40, 39)
    assert async_to_sync(run)() == (two, two, two, best(2), best(40), best(2))


def test_async_twins_of_properties(articles):
    async def run(row):
        data = await row.aexternal_data()
        return data and data.title, await row.ahas_external_data(), await row.aexternal_data_status()

    assert async_to_sync(run)(articles[0]) == (articles[0].title, True, "completed")
    assert async_to_sync(run)(Article(pk=0)) == (None, False, None)


@pytest.mark.parametrize("text", ["'; DROP TABLE blog_article; --", "%s %(a)s", '"}', "\\"])
def test_sql_in_texts_is_only_text(articles, provider, text):
    provider.vector = lambda text: [1.0, *[0.0] * 255]
    found = Article.objects.semantic_search(text, metadata={text: text}, tags=[text])
    assert list(found) == []
    assert Article.objects.count() == 40


def test_other_model_than_the_active_space_is_refused(articles, provider):
    provider.model = "another-model"
    with pytest.raises(SpaceMismatchError, match="another-model"):
        list(Article.objects.semantic_search(QUERY))


def test_other_dimensions_than_the_active_space_are_refused(articles, provider):
    provider.vector = lambda text: [1.0] * 255
    with pytest.raises(SpaceMismatchError, match="dimensions"):
        list(Article.objects.semantic_search("another text"))


def test_settings_of_the_search_do_not_leak(vector_index, articles):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL hnsw.ef_search = 37")
        list(Article.objects.semantic_search(QUERY))
        cursor.execute("SELECT current_setting('hnsw.ef_search')")
        assert cursor.fetchone() == ("37",)


# What else may be chained


@pytest.mark.parametrize(
    ("narrow", "numbers"),
    [
        (lambda rows: rows.annotate(n=Count("category__article")).filter(n__gt=0, views__lt=9), (8, 7, 6)),
        (lambda rows: rows.filter(views__lt=9).select_related("category").only("title", "category"), (8, 7, 6)),
        (lambda rows: rows.filter(views__lt=9).defer("body"), (8, 7, 6)),
        (lambda rows: rows.filter(views__lt=9).prefetch_related("category__article_set"), (8, 7, 6)),
        (lambda rows: rows.filter(views__lt=9).reverse(), (8, 7, 6)),
        (lambda rows: rows.filter(Exists(Category.objects.filter(pk=OuterRef("category"), name="odd"))), (39, 37, 35)),
        (lambda rows: rows.filter(category__in=Category.objects.filter(name="even")), (40, 38, 36)),
        (lambda rows: rows.semantic_search(QUERY, limit=20).filter(views__lt=30), (29, 28, 27)),
        (lambda rows: rows.extra(where=["views %% 7 = 0"]), (35, 28, 21)),
    ],
)
def test_more_that_holds_inside(articles, narrow, numbers):
    found = narrow(Article.objects.all()).semantic_search(QUERY, limit=3)
    assert titles(found) == best(*numbers)
    assert [round(row.similarity, 2) for row in found] == [n / 100 for n in numbers]
    assert found.count() == 3


def test_more_after_a_search(articles, django_assert_num_queries):
    found = Article.objects.semantic_search(QUERY, limit=4)
    assert list(found.in_bulk([articles[39].pk, articles[0].pk])) == [articles[39].pk]
    assert found.values_list("title", "score").last() == ("a37", pytest.approx(0.37, abs=1e-3))
    assert found.aggregate(best=Max("similarity"))["best"] == pytest.approx(0.4, abs=1e-3)
    assert titles(found.filter(similarity__gte=0.385)) == best(40, 39)
    assert titles(found.union(Article.objects.semantic_search(QUERY, limit=2, offset=4)).order_by("-score")) == best(
        40, 39, 38, 37, 36, 35
    )
    assert [row.title for row in found.iterator()] == best(40, 39, 38, 37)
    assert titles(found.none()) == []
    assert titles(pickle.loads(pickle.dumps(list(found)))) == best(40, 39, 38, 37)
    assert found.contains(articles[39])
    assert not found.contains(articles[0])
    page = Paginator(found, 3).page(2)
    assert (titles(page), page.paginator.count) == (best(37), 4)
    with django_assert_num_queries(2):
        rows = list(found.prefetch_related("category"))
        assert {row.category.name for row in rows} == {"even", "odd"}
    assert found.filter(views=40).update(status="x") == 1
    assert found.filter(views=39).delete()[0] == 1


def test_a_union_cannot_be_searched(articles):
    with pytest.raises(SearchError, match=r"union.*combine filters"):
        Article.objects.filter(views=1).union(Article.objects.filter(views=2)).semantic_search(QUERY)
    with pytest.raises(SearchError, match=r"union.*combine filters"):
        ExternalData.objects.all().union(ExternalData.objects.all()).search(QUERY)


@pytest.mark.parametrize(
    ("search", "statements"),
    [
        (lambda: Article.objects.semantic_search(QUERY), 1),
        (lambda: Article.objects.filter(views__gt=3).semantic_search(QUERY), 3),
        (lambda: Article.objects.order_by("pk")[5:30].semantic_search(QUERY), 3),
        (lambda: Article.objects.semantic_search(QUERY, offset=5, metadata={"year": {"gt": 2000}}), 3),
        (lambda: ExternalData.objects.search(QUERY), 1),
        (lambda: ExternalData.objects.filter(is_active=True).search(QUERY, models=[Article]), 3),
    ],
)
def test_statements_and_provider_calls(articles, provider, search, statements, django_assert_num_queries):
    asked = []
    embed, provider.vector = provider.vector, lambda text: asked.append(text) or embed(text)
    query_vectors._embedded.cache_clear()
    search().count()  # the ids of content types are cached by Django
    for _ in range(2):
        found = search()
        with django_assert_num_queries(statements):
            assert len(found) == 10
        with django_assert_num_queries(0):
            assert len(found) == 10
        with django_assert_num_queries(1):
            assert found.filter(pk__gt=0).count() == 10
    assert asked == [QUERY]
