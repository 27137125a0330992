"""Titles and snippets of hits, with the words of the query marked."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search import service
from pgknowbase.search.questions import SearchQuery
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db

FILLER = "and this is how the others of them were in that time, as it is said. " * 12


@pytest.fixture
def articles(index, provider):
    provider.vector = lambda given: [1.0] * 256
    made = {
        "gears": Article.objects.create(
            title="Repairing <b>gears</b>", body=f'{FILLER}The "repairs" of a gear & its <script> of steel. {FILLER}'
        ),
        "数据库": Article.objects.create(title="数据库", body="向量数据库 SQL 索引"),
    }
    index()
    return made


def test_words_are_marked_in_any_of_their_forms_and_everything_else_is_escaped(articles):
    (found,) = Article.objects.keyword_search("repair gears steel", snippet_length=100)
    assert found.highlighted_title == "<mark>Repairing</mark> &lt;b&gt;<mark>gears</mark>&lt;/b&gt;"
    assert "&quot;<mark>repairs</mark>&quot; of a <mark>gear</mark> &amp; its &lt;script&gt;" in found.snippet
    assert found.snippet.startswith("…")
    assert found.snippet.endswith("…")


@pytest.mark.parametrize("length", [50, 80, 300, 2000])
def test_a_snippet_is_as_long_as_wished(articles, length):
    (found,) = Article.objects.keyword_search("steel", snippet_length=length)
    plain = re.sub("</?mark>", "", found.snippet).strip("…")
    for name, sign in {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&amp;": "&"}.items():
        plain = plain.replace(name, sign)
    assert len(plain) <= length
    content = found.external_data.content
    assert len(plain) > min(length, len(found.matched_chunk) - 100) - 20
    assert "steel" in plain
    assert plain in re.sub(r"\s+", " ", content)


def test_pairs_of_characters_prefixes_and_phrases(articles):
    (found,) = Article.objects.keyword_search("数据 sq*", snippet_length=50)
    assert found.highlighted_title == "<mark>数据</mark>库"
    assert found.snippet == "Title: <mark>数据</mark>库 Body: 向量<mark>数据</mark>库 <mark>SQL</mark> 索引"
    (found,) = Article.objects.keyword_search('"repairs of a gear" -water', snippet_length=60)
    assert found.highlighted_title.startswith("<mark>Repairing</mark>")


def test_each_way_to_search(articles):
    ann = get_user_model().objects.create_superuser("ann")
    expected = "<mark>数据库</mark>"
    rows = [
        *Article.objects.hybrid_search("数据库", snippet_length=50, limit=1),
        *Article.objects.filter(pk=articles["数据库"].pk).semantic_search("数据库", snippet_length=50),
        *Article.objects.keyword_search("数据库", snippet_length=50).order_by("pk"),
        *ExternalData.objects.search("数据库", mode="keyword", snippet_length=50),
        *Article.objects.keyword_search("数据库", snippet_length=50, include_pending=True),
        *service.search(SearchQuery(query="数据库", mode="keyword", snippet_length=50), viewer=ann).results,
    ]
    assert len(rows) == 6
    assert {row.highlighted_title for row in rows} == {expected}
    assert {row.snippet for row in rows} == {f"Title: {expected} Body: 向量{expected} SQL 索引"}
    (plain,) = service.search(SearchQuery(query="数据库", mode="keyword"), viewer=ann).results
    assert plain.snippet is None
    assert not hasattr(Article.objects.keyword_search("数据库")[0], "snippet")


@pytest.mark.parametrize("length", [0, 49, 2001, "100", True])
def test_a_length_out_of_range(length):
    with pytest.raises(SearchError, match="snippet_length"):
        Article.objects.keyword_search("gears", snippet_length=length)


def test_a_search_by_another_row_has_no_words(articles):
    for objects in (Article.objects, ExternalData.objects):
        with pytest.raises(SearchError, match="snippet_length needs a search text"):
            objects.similar_to(articles["gears"], snippet_length=100)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text("ab数据 <>&'\"-\n", max_size=300), length=st.integers(50, 120))
def test_without_its_marks_a_highlight_is_the_escaped_text(db, content, length):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgknowbase_highlight('simple', %s, 'ab | 数据')", [content])
        (whole,) = cursor.fetchone()
        cursor.execute("SELECT pgknowbase_highlight('simple', %s, 'ab | 数据', %s)", [content, length])
        (part,) = cursor.fetchone()
    text = re.sub(r"\s+", " ", content)
    for sign, name in {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}.items():
        text = text.replace(sign, name)
    assert re.sub("</?mark>", "", whole) == text
    assert re.sub("</?mark>", "", part).strip("…") in text
