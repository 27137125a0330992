"""Phrases, exclusions, alternatives, the title and prefixes in search texts: the form of websearch_to_tsquery."""

import json

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgknowbase.models import ExternalData
from pgknowbase.search import service
from pgknowbase.search.questions import SearchQuery
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db

TEXTS = {
    "Running shoes": "A zebra crosses the river and it is not afraid. near 0.9",
    "The zebra": "It is running in new shoes, not in the old ones. near 0.8",
    "Rivers": "These are the rivers that cross the land of the zebras. near 0.7",
    "Databases": "This is how pgvector and pgknowbase store the vectors. near 0.6",
    "数据库": "向量数据库 SQL 索引 near 0.5",
    "Toads": "This is a toad, and it is not very big. near 0.4",
}
EXPECTED = {
    'zebra "crosses the river"': ["Running shoes"],
    '"running shoes"': ["Running shoes"],
    '"shoes running"': [],
    '"the river crosses" zebra': [],
    "“crosses the river”": ["Running shoes"],
    "zebra -river": ["The zebra"],
    'zebra -"crosses the river"': ["The zebra", "Rivers"],
    "toad OR pgvector": ["Databases", "Toads"],
    "zebra toad OR pgvector": ["Databases", "Toads"],
    'toad OR "store the vectors"': ["Databases", "Toads"],
    "title:zebra": ["The zebra"],
    "zebra -title:zebra": ["Running shoes", "Rivers"],
    'title:"running shoes" zebra': ["Running shoes"],
    "title:toad OR title:rivers": ["Rivers", "Toads"],
    "pgv*": ["Databases"],
    "title:riv*": ["Rivers"],
    "zebra -riv*": ["The zebra"],
    "runn*": ["Running shoes", "The zebra"],
    "afra* -shoe*": [],
    '"数据库"': ["数据库"],
    '"向量数据库 SQL"': ["数据库"],
    '"数据 SQL"': [],
    "title:数据库": ["数据库"],
    "向量 -索引": [],
    "-zebra": [],
    '"the"': [],
    "zebra OR": ["Running shoes", "The zebra", "Rivers"],
    "zebra -0.9": list(TEXTS),  # a number, of which all have a part
    "zebra - river": ["Running shoes", "The zebra", "Rivers"],
    'zebra "unclosed': ["Running shoes", "The zebra", "Rivers"],
    # Ten other words, and eleven: prose, in which a phrase is quoted and a sign stands by itself.
    'which one of them was seen at night by people "the river crosses"': [],
    'which one of them was ever seen at night by people "a pond crosses" -toad': [
        "Running shoes",
        "The zebra",
        "Rivers",
        "Toads",
    ],
    # A question: with more than three other words, and in other scripts.
    'who said that "a pond freezes" the toad?': ["Toads"],
    'who said that "a pond freezes" the toad': [],
    'toad "a pond freezes"?': [],
    'who said that "a pond freezes" the -toad?': [],
    "who said that the toad crosses title:rivers?": ["Rivers"],
    'من قال هنا ان toad "a pond freezes"؟ ': ["Toads"],
    # Alternatives are no other words.
    " OR ".join(["toad", *"bcefghijklmnopq"]): ["Toads"],
    "向量数据库和关系数据库有什么区别以及“索引向量”": ["数据库"],
}


# What hybrid search finds where it is something else: by its meaning alone an object is found that has no word of the
# text.
HYBRID = {
    'who said that "a pond freezes" the toad?': list(TEXTS),
    'من قال هنا ان toad "a pond freezes"؟ ': list(TEXTS),
    "zebra -river": ["The zebra", "Databases", "数据库", "Toads"],
    'zebra -"crosses the river"': [title for title in TEXTS if title != "Running shoes"],
    "zebra -title:zebra": [title for title in TEXTS if title != "The zebra"],
    "zebra -riv*": ["The zebra", "Databases", "数据库", "Toads"],
    "向量 -索引": [title for title in TEXTS if title != "数据库"],
    "-zebra": [],
    '"the"': [title for title in TEXTS if title != "数据库"],  # a stop word is not looked for where it is one
    **{text: list(TEXTS) for text in ("zebra OR", "zebra -0.9", "zebra - river", 'zebra "unclosed')},
    **{text: list(TEXTS) for text in EXPECTED if text.startswith(("which one of them was ever", "向量数据库和"))},
}


@pytest.fixture
def articles(index, provider):
    made = {title: Article.objects.create(title=title, body=text) for title, text in TEXTS.items()}
    index()
    return made


def titles(rows):
    return [row.title for row in rows]


def in_order(found):
    return [title for title in TEXTS if title in found]


@pytest.mark.parametrize("text", EXPECTED)
def test_keyword_search(articles, text):
    found = titles(Article.objects.keyword_search(text))
    assert in_order(found) == EXPECTED[text]
    assert len(found) == len(EXPECTED[text])
    across = titles(ExternalData.objects.search(text, mode="keyword"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT object_key FROM pgknowbase_search_keyword_v1(%s, 10)", [text])
        keys = [int(key) for (key,) in cursor.fetchall()]
    page = service.search(SearchQuery(query=text, mode="keyword"), viewer=None)
    assert across == found == [title for key in keys for title in TEXTS if articles[title].pk == key]
    assert page.results == []  # nothing is public


@pytest.mark.parametrize("text", EXPECTED)
def test_hybrid_search(articles, provider, text):
    provider.vector = lambda given: [1.0] * 256
    found = titles(Article.objects.hybrid_search(text, threshold=-1))
    assert in_order(found) == HYBRID.get(text, EXPECTED[text])
    assert len(found) == len(set(found))


def test_the_embedding_model_gets_the_words_that_are_looked_for(articles, provider):
    asked = []
    provider.vector = lambda given: (asked.append(given), [1.0] * 256)[1]
    list(Article.objects.hybrid_search('shoes OR rivers -toad "cross the" title:zebra pg* -title:"x y"'))
    assert asked == ["shoes rivers cross the zebra pg"]


def test_a_text_that_only_excludes_finds_nothing(articles, provider):
    provider.vector = lambda given: pytest.fail("nothing is embedded")
    assert titles(Article.objects.hybrid_search("-zebra -toad")) == []


def test_conditions_hold_with_filters_and_slices(articles, provider):
    provider.vector = lambda given: [1.0] * 256
    assert titles(Article.objects.filter(title__startswith="T").keyword_search("zebra -river")) == ["The zebra"]
    assert titles(Article.objects.filter(title__startswith="R").hybrid_search("zebra -river", threshold=-1)) == []
    assert titles(Article.objects.hybrid_search('"crosses the river" OR toad', threshold=-1, tags=["none"])) == []
    assert titles(Article.objects.order_by("pk")[:1].keyword_search("zebra -title:zebra")) == ["Running shoes"]


def test_conditions_do_not_change_scores(articles):
    plain = {row.title: row.score for row in Article.objects.keyword_search("zebra")}
    for text in ("zebra -river", "zebra -title:shoes"):
        found = {row.title: row.score for row in Article.objects.keyword_search(text)}
        assert found
        assert found == {title: plain[title] for title in found}


def test_pending_rows_meet_the_conditions(articles, provider):
    Article.objects.create(title="Pending zebra", body="a red river near 0.1")
    for text in ('"red river"', "title:zebra", "river -title:river", "rive*"):
        assert "Pending zebra" in titles(Article.objects.keyword_search(text, include_pending=True)), text
    for text in ('"river red"', "zebra -river", "title:river"):
        assert "Pending zebra" not in titles(Article.objects.keyword_search(text, include_pending=True)), text


LARGE = "SELECT object_key FROM pgknowbase_search_keyword_v1(%s, 10, most_candidates => %s)"


@pytest.mark.parametrize(
    "text", ["zebra -river", '"crosses the river"', "title:zebra", "riv* zebra", "toad OR pgvector"]
)
@pytest.mark.parametrize("most_candidates", [2, 4])
def test_a_large_corpus(articles, text, most_candidates):
    """Where not all documents are scored, those that meet the conditions are found all the same."""
    expected = EXPECTED | {'"crosses the river"': ["Running shoes"], "riv* zebra": ["Running shoes", "Rivers"]}
    keys = {articles[title].pk for title in expected[text]}
    with connection.cursor() as cursor:
        # So that the table has them after all others.
        cursor.execute(
            "UPDATE pgknowbase_keywords SET number = nextval('pgknowbase_keywords_numbers') WHERE id = ANY (%s)",
            [[str(key) for key in keys]],
        )
        cursor.execute(LARGE, [text, most_candidates])
        found = {int(key) for (key,) in cursor.fetchall()}
    assert found == keys


@pytest.fixture
def long_articles(articles, index, provider):
    provider.vector = lambda given: [1.0] * 256
    filler = " ".join(f"w{n} again" for n in range(12_000))
    Article.objects.create(title="Long and right", body=f"{filler} the red apple pie")
    Article.objects.create(title="Long and wrong", body=f"{filler} a pie of apple in red")
    index()


def test_phrases_in_documents_of_more_words_than_have_places(long_articles):
    assert titles(Article.objects.keyword_search('"red apple pie"')) == ["Long and right"]
    assert titles(Article.objects.keyword_search('pie -"red apple pie"')) == ["Long and wrong"]
    assert titles(Article.objects.keyword_search('title:"and right" pie')) == ["Long and right"]
    assert titles(Article.objects.keyword_search("pie title:wrong")) == ["Long and wrong"]
    either = Article.objects.hybrid_search('"red apple pie" OR "crosses the river"', threshold=-1)
    assert sorted(titles(either)) == ["Long and right", "Running shoes"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pgknowbase_word_state_v1(%s, ARRAY(SELECT id FROM pgknowbase_document))",
            [ContentType.objects.get_for_model(Article).pk],
        )
        assert cursor.fetchone() == (0,)


SIGNS = st.sampled_from([*"\"-*()'\\|&!:“数 ", "OR", " OR ", "title:", "<->"])
ANY_TEXT = st.lists(SIGNS | st.text(max_size=6) | st.sampled_from(["zebra", "the", "river"]), max_size=14).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANY_TEXT)
def test_no_text_raises(articles, text):
    text = text.replace("\0", "").encode("utf-8", "ignore").decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT object_key FROM pgknowbase_search_keyword_v1(%s, 10)", [text])
        found = {key for (key,) in cursor.fetchall()}
        assert found <= {str(article.pk) for article in articles.values()}
        cursor.execute("SELECT pgknowbase_plain_query_v1(%s), pgknowbase_query_conditions(%s, NULL)", [text, text])
        plain, conditions = cursor.fetchone()
        assert conditions is None or json.loads(conditions)["queries"]
        assert plain is not None
