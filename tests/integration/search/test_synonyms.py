"""Synonyms of settings and models, at query time, in each language's forms."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from pydantic import ValidationError

from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import ExternalData
from pgknowbase.search.queries import declared_synonyms
from pgknowbase.search.queryset import _source_of
from pgknowbase.sources.declaration import ExternalDataMetaConfig
from pgknowbase.sources.registry import source_of
from pgknowbase.sources.synonyms import MAX_APPLIED, SynonymRule, applicable, rules_of
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db

SYNONYMS = [("bike", "bicycle"), {"pg": ["postgres", "object relational database"]}, ("table saw", "Kreissäge")]


@pytest.fixture
def declared(monkeypatch):
    """Articles have synonyms of their own; notes have none."""
    monkeypatch.setattr(Article.ExternalDataMeta, "synonyms", SYNONYMS, raising=False)
    _source_of.cache_clear()
    yield
    _source_of.cache_clear()


@pytest.fixture
def library(index, provider, declared):
    provider.vector = lambda text: [1.0] * 256
    for title, body in {
        "bikes": "How bikes are repaired, and their gears.",
        "bicycles": "How bicycles are repaired, and their brakes.",
        "postgres": "Replication with postgres.",
        "model": "About an object relational database.",
        "words": "A database that is relational; an object.",
        "pg": "The pg of it.",
        "saw": "A table saw in the workshop.",
        "Kreissäge": "Die Kreissägen stehen auf dem Tisch und sind aus Eisen, das ist die Werkstatt.",
    }.items():
        Article.objects.create(title=title, body=body)
    Note.notes.create(text="A bicycle, and how it is repaired.")
    index()


def found(query, objects=None, **options):
    return {row.title for row in (objects or Article.objects).keyword_search(query, limit=50, **options)}


def test_what_is_found(library):
    expected = {
        "bike": {"bikes", "bicycles"},
        "bicycles": {"bikes", "bicycles"},
        "pg": {"pg", "postgres", "model"},
        "postgres": {"postgres"},
        "table saw": {"saw", "Kreissäge"},
        "Kreissäge": {"saw", "Kreissäge"},
        "saw": {"saw"},
        "zebra": set(),
        '"bike"': {"bikes"},  # as it is written
        "bike -brakes": {"bikes"},
    }
    assert {query: found(query) for query in expected} == expected
    counted = {query: Article.objects.facets("tags", query=query).documents for query in expected}
    assert counted == {query: len(titles) for query, titles in expected.items()}


def test_a_word_and_its_synonyms_are_one(library):
    scores = {row.title: row.keyword_score for row in Article.objects.keyword_search("bike repaired gears")}
    assert scores["bikes"] > scores["bicycles"] > 0
    both = {row.title: row.keyword_score for row in Article.objects.keyword_search("bike")}
    assert both["bikes"] == pytest.approx(both["bicycles"])


def test_other_searches(library):
    rows = Article.objects.hybrid_search("bike", snippet_length=60, limit=50)
    assert {row.title for row in rows if row.keyword_score} == {"bikes", "bicycles"}
    (bicycles,) = [row for row in rows if row.title == "bicycles"]
    assert "<mark>bicycles</mark>" in bicycles.highlighted_title + bicycles.snippet
    across = ExternalData.objects.search("bike", mode="keyword")
    assert {row.title or row.source_model.__name__ for row in across} == {"bikes", "bicycles", "Note"}
    assert not Note.notes.keyword_search("bike")
    typo = Article.objects.keyword_search("bycicle bicylce", correct_typos=True)
    assert {row.title for row in typo} == {"bikes", "bicycles"}
    assert {row.title for row in Article.objects.filter(views=0).keyword_search("bike")} == {"bikes", "bicycles"}


def test_hidden_rows_stay_hidden(library):
    ann = get_user_model().objects.create(username="ann")
    ExternalData.objects.filter(title="bicycles").update(is_public=True)
    assert found("bike", visible_to=ann) == {"bicycles"}


def test_of_the_settings(library, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"SYNONYMS": [["wheel", "bicycle"], {"x": ["y"]}]}}
    assert [row.text for row in Note.notes.keyword_search("wheels")] == ["A bicycle, and how it is repaired."]
    assert found("wheels") == {"bicycles"}
    assert get_settings().search.synonyms == (("wheel", "bicycle"), {"x": ("y",)})
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"SYNONYMS": [["wheel"]]}}
    with pytest.raises(ConfigurationError, match="SYNONYMS"):
        get_settings()


def test_in_sql(library):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.title FROM pgknowbase_search_keyword_v1('gears', 10, pgknowbase_filter_v1(synonyms => %s)) AS h"
            " JOIN pgknowbase_externaldata AS e ON e.id = h.external_data_id ORDER BY 1",
            [json.dumps([["gear", "brake", "the", ""], [], ["x"], ["nothing", "else"]])],
        )
        assert [title for (title,) in cursor.fetchall()] == ["bicycles", "bikes"]


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        ["text"],
        [["one"]],
        [["a", 5]],
        [["a", "--"]],
        [["a", "\0b"]],
        [["a", "b" * 101]],
        [["a"] * 21],
        [{}],
        [{"a": []}],
        [{"a": "b"}],
        [["a", "b"]] * 1001,
        5,
    ],
)
def test_what_cannot_be_declared(wrong):
    with pytest.raises(ValidationError):
        ExternalDataMetaConfig.model_validate({"watch_fields": ["a"], "synonyms": wrong})


def test_only_rules_that_may_apply_are_sent(declared):
    rules = declared_synonyms([source_of(Article)])
    assert len(rules) == 5
    assert applicable(rules, "Some bikes") == [["bike", "bicycle"]]
    assert applicable(rules, "die KREISSÄGEN") == [["Kreissäge", "table saw"]]
    assert applicable(rules, "a table") == []
    assert applicable(rules_of([("数据", "database")]), "向量数据库") == [["数据", "database"]]
    many = [SynonymRule(f"abc{n}", ("x",)) for n in range(MAX_APPLIED + 10)]
    assert len(applicable(many, "abc")) == MAX_APPLIED
