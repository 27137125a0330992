"""Our shortcut past langchain's splitter gives what the splitter gives."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgknowbase.core.pgai import load_vectorizer
from pgknowbase.vectorizer.chunking import Splitter, splitter_of

SIZE = 60


@pytest.fixture(scope="module")
def made():
    return splitter_of(vectorizer())


def vectorizer(template="$chunk"):
    chunking = {
        "implementation": "recursive_character_text_splitter",
        "config_type": "chunking",
        "separators": ["\n\n", "\n", r"(?<=[.?!])(?=\s)|(?<=[.?!][\"')])(?=\s)", " ", ""],
        "chunk_size": SIZE,
        "chunk_overlap": 10,
        "is_separator_regex": True,
    }
    config = {
        "version": "0.12.1",
        "loading": {"implementation": "column", "config_type": "loading", "column_name": "content", "retries": 6},
        "parsing": {"implementation": "none", "config_type": "parsing"},
        "embedding": {
            "implementation": "openai",
            "config_type": "embedding",
            "model": "m",
            "dimensions": 2,
            "api_key_name": "K",
        },
        "chunking": chunking,
        "formatting": {"implementation": "python_template", "config_type": "formatting", "template": template},
        "processing": {"implementation": "default", "config_type": "processing"},
        "destination": {
            "implementation": "table",
            "config_type": "destination",
            "target_schema": "public",
            "target_table": "t",
            "view_schema": "public",
            "view_name": "v",
        },
    }
    row = {
        "id": 1,
        "source_schema": "public",
        "source_table": "s",
        "source_pk": [{"attname": "id", "attnum": 1, "pknum": 1, "typname": "text"}],
        "queue_schema": "ai",
        "queue_table": "q",
        "config": config,
    }
    return json.dumps(row)


# The first example imports the splitter, which takes longer than an example may.
@settings(deadline=None)
@given(text=st.text(alphabet="ab .?!\n\t\u00a0é", max_size=SIZE + 20))
def test_shortcut_equals_splitter(made, text):
    whole = made._vectorizer.config.chunking.into_chunks({}, text)
    assert made.split(1, "k", "", text) == whole


@pytest.mark.parametrize(
    "template",
    ["$title\n$chunk", "${title}: ${chunk}.", "$chunk", "$$5 $chunk$$", "$id/$source $title $chunk $title $chunk", ""],
)
@pytest.mark.parametrize("text", ["text", "$title", "{title} %s \\ $$", "数据"])
def test_text_of_a_chunk_is_that_of_the_template(template, text):
    row = {"source": 7, "id": "k", "title": text[::-1], "content": text}
    config = load_vectorizer(vectorizer(template))
    assert Splitter(config).split(7, "k", row["title"], text) == [config.config.formatting.format(text, row)]
