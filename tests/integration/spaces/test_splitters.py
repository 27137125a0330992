"""Splitters per space, through pgai's own recursive one; pgai's worker cuts alike."""

import asyncio
import json
import re
import threading
from string import Template

import pytest

from benchmarks.embedding_server import EmbeddingServer
from pgknowbase.conf import SpaceSettings
from pgknowbase.core import gateway
from pgknowbase.core.migration_operations import _conninfo
from pgknowbase.core.pgai import load_vectorizer
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import Document, EmbeddingSpace
from pgknowbase.testing.lexical import LexicalEmbedder
from pgknowbase.vectorizer.chunking import splitter_of
from tests.integration.spaces.conftest import assert_space_in_sync, space, space_command, sql, stored, work
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)

MARKDOWN = f"""{"Intro. " * 12}
# One
{"Text of one. " * 14}
## Inside
{"Text inside. " * 8}
```python
x = 1
y = 2
```
# Two
{"Text of two. " * 14}
"""
CODE = "\n".join(
    f"def function_{n}(value):\n    # first\n\n    total = value + {n}\n\n    return total\n" for n in range(12)
)


def chunks(name):
    (found,) = stored(name).values()
    return [text for _, text in found]


def add(name, splitter, size=220):
    space_command("add", name, splitter=splitter, chunk_size=size, chunk_overlap=0, template="$chunk")
    space_command("fill", name, here=True)


def test_markdown_is_cut_at_headings():
    Article.objects.create(title="m", body=MARKDOWN)
    work()
    add("marks", "markdown")
    found = chunks("marks")
    assert any(text.startswith("# One") for text in found)
    assert any(text.startswith("# Two") for text in found)
    add("plain", "recursive")
    assert chunks("plain") != found


def test_code_is_cut_at_definitions():
    Article.objects.create(title="c", body=CODE)
    work()
    add("code", "code")
    found = chunks("code")
    assert len(found) > 3
    assert all(text.startswith("def function_") or "def function_0" in text for text in found), found


def test_sentences_keep_their_stops_and_numbers_stay_whole():
    stops = [".", "!", "?", '."'] * 6
    sentences = [f"Pump {n} runs at 3.14 bar, see lib.example.com for it{stop}" for n, stop in enumerate(stops)]
    Article.objects.create(title="s", body=" ".join(sentences))
    work()
    add("stops", "recursive", size=130)
    found = [text for text in chunks("stops") if "Pump" in text][1:]
    assert len(found) > 8
    for text in found:
        assert re.match(r"Pump \d+ runs", text), text
    for text in found[:-1]:
        assert re.search(r'it[.!?]"?$', text), text


@pytest.mark.parametrize("template", ["${title}: $chunk", "$title: ${chunk}", "$chunk ($title)", "<${chunk}> $title"])
def test_spans_are_where_the_chunks_stand(template):
    title, body = "A $chunk of $title", " ".join(f"This is sentence number {n} of it." for n in range(30))
    Article.objects.create(title=title, body=body)
    work()
    space_command("add", "spans", chunk_size=120, chunk_overlap=0, template=template)
    space_command("fill", "spans", here=True)
    ((source, key),) = stored("spans")
    document = Document.objects.get()
    for text in chunks("spans"):
        statement = "SELECT span FROM pgknowbase_chunk_offsets(%s, %s, %s, %s)"
        ((span,),) = sql(statement, [source, key, text, space("spans").template])
        piece = document.content[span.lower : span.upper]
        assert Template(template).substitute(title=document.title, chunk=piece) == text


def test_chunks_keep_to_what_the_model_reads():
    """700 characters of English are 256 tokens at most; of code, Russian or Chinese they are more."""

    class Reader(LexicalEmbedder):
        max_tokens = 40

        def count_tokens(self, texts):
            return [len(text) // (1 if "ж" in text else 4) for text in texts]

    Article.objects.create(title="t", body=" ".join(["ж" * 9] * 60 + ["latin"] * 20))
    work()
    row = gateway.fetch_value(
        "default", "vectorizer_configuration", vectorizer=EmbeddingSpace.objects.get(is_active=True).vectorizer_id
    )
    document = Document.objects.get()
    asked = (document.source, document.id, document.title, document.content)
    reader = Reader(model="x", dimensions=8)
    whole, cut = splitter_of(row).split(*asked), splitter_of(row, reader).split(*asked)
    assert max(reader.count_tokens(whole)) > 40
    assert max(reader.count_tokens(cut)) <= 40
    assert set(document.content.split()) <= set(" ".join(cut).split())


def test_prose_without_spaces_is_cut_at_its_full_stops():
    sentence = "这是一个关于数据库的句子" * 3
    Article.objects.create(title="z", body="。".join([sentence] * 12))
    work()
    add("prose", "recursive", size=120)
    assert all(text.startswith("这是") and text.endswith(("。", "句子")) for text in chunks("prose")[2:]), chunks(
        "prose"
    )


@pytest.mark.parametrize("splitter", ["markdown", "code"])
def test_pgai_worker_fills_such_a_space(splitter, monkeypatch):
    from pgknowbase.core.pgai import disable_tracing

    disable_tracing()
    from pgai.vectorizer import Worker as PgaiWorker

    Article.objects.create(title="m", body=MARKDOWN + CODE)
    work()
    space_command("add", "pgai", embedding="turned", splitter=splitter, chunk_size=200, chunk_overlap=20)
    server = EmbeddingServer(("127.0.0.1", 0), get_embedder("turned"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    try:
        error = asyncio.run(PgaiWorker(_conninfo("default"), once=True).run())
    finally:
        server.stop()
        thread.join()
    assert error is None, error
    assert_space_in_sync("pgai")
    before = sql("SELECT count(*) FROM ai.vectorizer")
    assert work().documents == 0
    assert before == [(2,)]


PGAI = {"SEPARATORS": ["\n\n", "\n", ".", "?", "!", " ", ""]}
TEXT = "One. Two? Three!\n\n" + "A longer sentence, with a comma. " * 9
# Each as pgai would be told to cut.
OWN = [
    (PGAI, "ai.chunking_recursive_character_text_splitter(120, 20)"),
    (
        {"SEPARATORS": [r"\.\s", ""], "REGEX": True},
        r"ai.chunking_recursive_character_text_splitter(120, 20, array['\.\s', ''], true)",
    ),
    (
        {"SEPARATORS": [", "], "RECURSIVE": False},
        "ai.chunking_character_text_splitter(120, 20, ', ')",
    ),
    ("none", "ai.chunking_none()"),
]


@pytest.mark.parametrize(("splitter", "told"), OWN, ids=["recursive", "regex", "character", "none"])
def test_own_separators_cut_as_pgai_does(splitter, told):
    Article.objects.create(title="t", body=TEXT)
    work()
    given = splitter if isinstance(splitter, str) else json.dumps(splitter)
    space_command("add", "own", splitter=given, chunk_size=120, chunk_overlap=20, template="$chunk")
    space_command("fill", "own", here=True)
    ((told,),) = sql(
        f"SELECT to_jsonb(v) || jsonb_build_object('config', v.config || jsonb_build_object("
        f"'chunking', {told})) FROM ai.vectorizer AS v WHERE v.id = {space('own').vectorizer_id}"
    )
    (document,) = Document.objects.all()
    wanted = load_vectorizer(told).config.chunking.into_chunks({}, document.content)
    assert chunks("own") == wanted


@pytest.mark.parametrize(
    ("splitter", "told"),
    [
        ({"SEPARATORS": []}, "at least 1 item"),
        ({"SEPARATORS": ["("], "REGEX": True}, "not a regular expression"),
        ({"SEPARATORS": ["a", "b"], "RECURSIVE": False}, "one separator"),
        ({"SEPARATOR": "a"}, "SEPARATORS"),
        ("{", "JSON"),
        (7, "one of recursive"),
    ],
)
def test_wrong_separators_are_refused(splitter, told):
    with pytest.raises(ValueError, match=told):
        SpaceSettings.model_validate({"SPLITTER": splitter})


def test_a_whole_document_that_is_too_long_is_cut_at_spaces():
    class Short(LexicalEmbedder):
        max_tokens = 10

        def count_tokens(self, texts):
            return [len(text.split()) for text in texts]

    row = gateway.fetch_value("default", "vectorizer_configuration", vectorizer=space().vectorizer_id)
    whole = json.loads(row)
    whole["config"]["chunking"] = {"implementation": "none", "config_type": "chunking"}
    whole["config"]["formatting"]["template"] = "$chunk"
    cut = splitter_of(json.dumps(whole), Short(model="words", dimensions=256)).split(1, "1", "t", "word " * 60)
    assert len(cut) > 3
    assert all(len(text.split()) <= 10 for text in cut)
