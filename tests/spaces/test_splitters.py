"""Splitters per space, through pgai's own recursive one; pgai's worker cuts alike."""

import asyncio
import threading

import pytest

from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.server import EmbeddingServer
from pgknowbase.migration_operations import _conninfo
from tests.blog.models import Article
from tests.spaces.conftest import assert_space_in_sync, space_command, sql, stored, work

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


def test_prose_without_spaces_is_cut_at_its_full_stops():
    sentence = "这是一个关于数据库的句子" * 3
    Article.objects.create(title="z", body="。".join([sentence] * 12))
    work()
    add("prose", "recursive", size=120)
    assert all(text.lstrip("。").startswith("这是") for text in chunks("prose")[2:]), chunks("prose")


@pytest.mark.parametrize("splitter", ["markdown", "code"])
def test_pgai_worker_fills_such_a_space(splitter, monkeypatch):
    from pgknowbase.vectorizer.pgai import _switch_tracing_off

    _switch_tracing_off()
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
