"""A vectorizer's configuration as settings and hooks: the texts that both make are the same."""

from string import Template

import pytest

from pgknowbase.adoption.mapping import is_same_model, map_vectorizer
from pgknowbase.adoption.vectorizers import PgaiVectorizer
from pgknowbase.conf import EmbeddingSettings, SpaceSettings

RECURSIVE = {
    "implementation": "recursive_character_text_splitter",
    "separators": ["\n\n", ""],
    "is_separator_regex": False,
    "chunk_size": 800,
    "chunk_overlap": 400,
}
OPENAI = {"implementation": "openai", "model": "text-embedding-3-small", "dimensions": 1536}


def vectorizer(template="$chunk", chunking=RECURSIVE, embedding=OPENAI):
    config = {
        "loading": {"implementation": "column", "column_name": "body"},
        "chunking": chunking,
        "embedding": embedding,
        "formatting": {"implementation": "python_template", "template": template},
        "destination": {"implementation": "table"},
    }
    columns = {"id": "integer", "body": "text", "title": "text", "url": "text"}
    return PgaiVectorizer(1, "v", "public", "t", config, columns, ("id",), ("id",), 1536, False, True, True, True)


ROW = {"title": "It's {a} $title", "url": None, "body": "All of it."}


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("$chunk", ["body"]),
        ("${chunk}", ["body"]),
        ("Title: $title\n$chunk", ["body", "title"]),
        ("$title (${url}): $chunk!", ["body", "title", "url"]),
        ("$chunk -- $title, $url", ["body", "url", "title"]),
        ("$title$chunk", ["body", "title"]),
        ("$title by $title at $body: $chunk", ["body", "title"]),
    ],
)
def test_template(template, columns):
    mapping = map_vectorizer(vectorizer(template))
    assert mapping.faults == []
    assert sorted(mapping.columns) == sorted(columns)
    title = "".join(str(ROW[part[0]]) if isinstance(part, tuple) else part for part in mapping.title)
    ours = SpaceSettings.model_validate(mapping.space).template
    assert Template(ours).substitute(title=title, chunk="A chunk") == Template(template).substitute(
        **ROW, chunk="A chunk"
    )


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("$title $chunk $url", "columns stand both before and behind '$chunk'"),
        ("$chunk $chunk", "'$chunk', and that once"),
        ("$$5: $chunk", "no other '$'"),
    ],
)
def test_a_template_that_cannot_be_told(template, said):
    mapping = map_vectorizer(vectorizer(template))
    assert said in " ".join(mapping.faults)
    assert SpaceSettings.model_validate(mapping.space)


def test_a_size_that_no_space_has():
    mapping = map_vectorizer(vectorizer(chunking={**RECURSIVE, "chunk_size": 20, "chunk_overlap": 5}))
    assert "greater than or equal to 50" in " ".join(mapping.faults)
    assert SpaceSettings.model_validate(mapping.space)


@pytest.mark.parametrize(
    ("embedding", "model", "options"),
    [
        ({}, "text-embedding-3-small", None),
        ({"base_url": "http://x/v1", "api_key_name": "KEY"}, "text-embedding-3-small",
         {"BASE_URL": "http://x/v1", "API_KEY_ENV": "KEY"}),
        ({"model": "nomic"}, "nomic", {"SEND_DIMENSIONS": True}),
        ({"implementation": "ollama", "model": "nomic:1"}, "nomic:1",
         {"BASE_URL": "http://localhost:11434/v1", "API_KEY_ENV": None}),
        ({"implementation": "voyageai", "model": "voyage-3"}, "voyageai:voyage-3", None),
        ({"implementation": "litellm", "model": "cohere/embed-v4.0"}, "cohere:embed-v4.0", None),
    ],
)  # fmt: skip
def test_embedding(embedding, model, options):
    theirs = {**OPENAI, **embedding}
    entry = map_vectorizer(vectorizer(embedding=theirs)).embedding
    assert (entry["MODEL"], entry.get("OPTIONS")) == (model, options)
    assert EmbeddingSettings.model_validate(entry).dimensions == 1536
    assert is_same_model(theirs["model"], model)


def test_other_names_are_other_models():
    assert not is_same_model("text-embedding-3-small", "text-embedding-3-large")
    assert not is_same_model("small", "text-embedding-3-small")
