# ruff: noqa: RUF001
"""How texts become words, in any script, by the function that documents and searches share."""

import pytest

from pgknowbase.core import gateway
from pgknowbase.keywords.language import COMMON, language_of
from tests.integration.keywords.conftest import sql

pytestmark = pytest.mark.django_db


def words(text, language="simple"):
    return {row[0] for row in sql("SELECT lexeme FROM unnest(pgknowbase_tokenize_document_v1(%s, %s))", language, text)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gzip.open", {"gzip", "open"}),
        ("get_paginate_by", {"get", "paginate", "by"}),
        ("foo/bar-baz@example.org", {"foo", "bar", "baz", "example", "org"}),
        ("1 < 2 and 3 > 2 &amp; so on", {"1", "2", "3", "and", "amp", "so", "on"}),
        ("a -5 or 3.14", {"a", "5", "or", "3", "14"}),
        ("Straßenbahn Übergröße", {"straßenbahn", "übergröße"}),
        ("हिन्दी में समाचार", {"हिन्दी", "में", "समाचार"}),
        ("كتاب جديد", {"كتاب", "جديد"}),
        ("SQL数据库", {"sql", "数据", "据库", "库"}),
        ("茶", {"茶"}),
        ("ไทยดี", {"ไท", "ทย", "ยด", "ดี", "ี"}),
        ("ひらがな", {"ひら", "らが", "がな", "な"}),
        ("ＡＢＣ　ﬁsh", {"abc", "fish"}),
        ("", set()),
        ("'\\\"%s :* | & !", {"s"}),
    ],
)
def test_words(text, found):
    assert words(text) == found


def test_word_forms_and_stop_words_of_a_language():
    assert words("the running dogs", "english") == {"run", "dog"}
    assert words("die laufenden Hunde", "german") == {"laufend", "hund"}


def test_a_text_with_too_many_words_counts_with_its_beginning():
    text = " ".join(f"word{n}" for n in range(200_000))
    found = words(text)
    assert "word0" in found
    assert 10_000 < len(found) < 200_000


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The index is kept in the database and it is searched from there.", "english"),
        ("Der Index liegt in der Datenbank und wird von dort gelesen.", "german"),
        ("L'index est dans la base de données et il est lu par les autres.", "french"),
        ("توجد هذه القاعدة في المدينة التي تقع على البحر", "arabic"),
        ("यह भारत के एक राज्य में है और इस का नाम है", "hindi"),
        ("数据库中的索引是什么", "simple"),
        ("Bicycle repair", "simple"),
        ("", "simple"),
    ],
)
def test_language_of_a_text(text, language):
    assert language_of(text, gateway.languages("default")) == language


def test_language_that_the_database_does_not_know():
    assert language_of("Der Index liegt in der Datenbank und wird von dort gelesen.", frozenset({"simple"})) == "simple"


def test_every_language_is_one_of_postgres_and_has_as_many_words():
    assert set(COMMON) <= gateway.languages("default")
    assert {len(set(words.split())) for words in COMMON.values()} == {20}
