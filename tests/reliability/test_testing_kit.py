"""``pgknowbase.testing``: its assertions fail when they should, its embedder ranks, its provider fails as told."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import TestCase, TransactionTestCase

from pgknowbase.embeddings import OpenAIEmbedder, get_embedder
from pgknowbase.errors import EmbeddingSetupError, PermanentEmbeddingError, RetryableEmbeddingError
from pgknowbase.models import Chunk, ExternalData, OutboxEvent
from pgknowbase.testing import (
    Fault,
    FaultyProvider,
    LexicalEmbedder,
    assert_in_sync,
    assert_ranks,
    drain,
    make_due,
)
from tests.projects.blog.models import Article, Note

DOCS = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


def example(number):
    names = {"Article": Article}
    exec(EXAMPLES[number], names)
    return names


class ExampleTests(TestCase):
    def test_draining(self):
        example(0)["ArticleTests"].test_search(self)


def test_settings_example(settings):
    settings.PGKNOWBASE = example(1)["PGKNOWBASE"]
    assert isinstance(get_embedder(), LexicalEmbedder)


def test_provider_example():
    example(2)


def test_everything_is_documented():
    faults = [name for name, value in vars(Fault).items() if isinstance(value, classmethod)]
    assert all(f"`Fault.{name}(" in DOCS for name in faults)


class InOneTransaction(TestCase):
    def test_index_follows(self):
        article = Article.objects.create(title="Rice", body="steam")
        with pytest.raises(AssertionError, match=rf"blog.Article {article.pk}: missing, but it still waits: call"):
            assert_in_sync(Article)
        assert drain().documents == 1
        assert_in_sync(Article)
        Article.objects.update(body="boil")
        Article.objects.create(title="Noodles")
        drain()
        assert_in_sync()
        article.delete()
        drain()
        assert_in_sync(Article, Note)
        assert ExternalData.objects.count() == 1

    def test_drift_is_listed(self):
        articles = [Article.objects.create(title=f"t{n}") for n in range(30)]
        drain()
        ExternalData.objects.update(title="forged", tags=["x"])
        with pytest.raises(AssertionError, match=rf"{articles[0].pk}: stale \(title, tags\)(.|\n)*10 more"):
            assert_in_sync(Article)

    def test_row_that_cannot_be_rendered(self):
        Note.notes.create(text="explode")
        drain()
        with pytest.raises(AssertionError, match="told to explode"):
            assert_in_sync(Note)

    def test_ranks(self):
        rice = Article.objects.create(title="Rice", body="steam the rice in water")
        note = Note.notes.create(text="a database index speeds up queries")
        gzip = Article.objects.create(title="Gzip", body="compressed files")
        drain()
        assert_ranks("steaming rice", [rice, gzip])
        assert_ranks("database queries", [note])
        assert_ranks("steaming rice", [rice, note], limit=3)
        with pytest.raises(AssertionError, match=r"should rank blog.Article \d+ 'Gzip', .*found:\n  0\.\d+ blog"):
            assert_ranks("steaming rice", [gzip, rice])
        with pytest.raises(AssertionError, match="nothing"):
            assert_ranks("steaming rice", [gzip], threshold=0.99)


class AfterFlush(TransactionTestCase):
    def test_first(self):
        Article.objects.create(title="a")
        drain()

    test_second = test_first

    def test_flush_is_hidden(self):
        Article.objects.create(title="a")
        drain()
        # As Django does it after each test that commits.
        call_command("flush", interactive=False, verbosity=0, reset_sequences=False)
        assert OutboxEvent.objects.filter(op="T").exists()
        Article.objects.create(title="a")
        assert drain().events == 1
        assert not OutboxEvent.objects.exists()

    def test_truncate_of_a_test_is_not(self):
        from django.db import connection

        Article.objects.create(title="a")
        drain()
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE blog_article")
        drain()
        assert not ExternalData.objects.exists()


# LexicalEmbedder


def cosine(embedder, first, second):
    a, b = embedder.embed_documents([first, second]).vectors
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("reading compressed files", "how to read a compressed file", "steam the rice"),
        ("Чтение сжатых файлов", "сжатых файлов много", "варим рис на пару"),
        ("圧縮ファイルの読み方", "ファイルを圧縮する", "ご飯を炊く"),
        ("ÜBERSETZUNG", "übersetzung von texten", "ein anderes wort"),
    ],
)
def test_texts_that_share_words_are_near(text, near, far):
    embedder = LexicalEmbedder(dimensions=256)
    assert cosine(embedder, text, near) > cosine(embedder, text, far) + 0.2


@pytest.mark.parametrize("dimensions", [1, 2, 7, 256, 4000])
@pytest.mark.parametrize("text", ["word", "!!!", "🦊", "a b c d e f g h", "ไทย", "x" * 5000])
def test_every_text_has_a_vector_of_length_one(dimensions, text):
    (vector,) = LexicalEmbedder(dimensions=dimensions).embed_documents([text]).vectors
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1)


def test_same_vector_in_every_process():
    code = (
        "from pgknowbase.testing.lexical import LexicalEmbedder as L; print(L(dimensions=9).embed_query('näher 近い'))"
    )
    environment = {"PYTHONPATH": "django_app", "PYTHONHASHSEED": "77"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == str(LexicalEmbedder(dimensions=9).embed_query("näher 近い"))


def test_empty_text_is_refused():
    with pytest.raises(PermanentEmbeddingError):
        LexicalEmbedder().embed_query(" ")


# FaultyProvider


@pytest.fixture
def provider():
    with FaultyProvider(dimensions=16) as made:
        yield made


@pytest.fixture
def embedder(provider):
    made = OpenAIEmbedder(model="lexical", dimensions=16, base_url=provider.url, api_key_env=None, timeout=30)
    yield made
    made.close()


FAULTS = [
    (Fault.rate_limit(3), RetryableEmbeddingError),
    (Fault.server_error(), RetryableEmbeddingError),
    (Fault.server_error(503), RetryableEmbeddingError),
    (Fault.disconnect(), RetryableEmbeddingError),
    (Fault.malformed_json(), RetryableEmbeddingError),
    (Fault.wrong_dimensions(3), EmbeddingSetupError),
    (Fault.nan(), PermanentEmbeddingError),
    (Fault.zeros(), PermanentEmbeddingError),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda value: getattr(value, "kind", ""))
def test_each_fault_once(provider, embedder, fault, error):
    provider.fail_next(fault)
    with pytest.raises(error):
        embedder.embed_documents(["a", "b"])
    right = LexicalEmbedder(dimensions=16).embed_documents(["a", "b"]).vectors
    for given, wanted in zip(embedder.embed_documents(["a", "b"]).vectors, right, strict=True):
        assert given == pytest.approx(wanted)
    assert [request["input"] for request in provider.requests] == [["a", "b"]] * 2


def test_timeout(provider):
    hasty = OpenAIEmbedder(model="lexical", dimensions=16, base_url=provider.url, api_key_env=None, timeout=0.2)
    provider.fail_next(Fault.timeout(30))
    with pytest.raises(RetryableEmbeddingError):
        hasty.embed_query("a")
    hasty.close()


def test_always_and_refused_texts(provider, embedder):
    provider.fail_always(Fault.server_error(500))
    for _ in range(3):
        with pytest.raises(RetryableEmbeddingError):
            embedder.embed_query("a")
    provider.fail_always(None)
    provider.refuse("poison")
    embedder.embed_query("a")
    with pytest.raises(PermanentEmbeddingError, match="refused: 'some poison'"):
        embedder.embed_documents(["b", "some poison"])


@pytest.mark.django_db(transaction=True)
def test_worker_comes_through_every_fault(settings):
    from django.core.management import call_command

    with FaultyProvider(model="wordllama-256", dimensions=256) as provider:
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": {"default": provider.settings(TIMEOUT=2)}}
        call_command("pgknowbase_space", "accept", verbosity=0)
        try:
            Article.objects.bulk_create([Article(title=f"t{n}") for n in range(5)])
            bad = Article.objects.create(title="poison")
            provider.refuse("poison")
            provider.fail_next(*(fault for fault, error in FAULTS if error is RetryableEmbeddingError))
            for _ in FAULTS:
                drain()
                make_due()
            drain()
            assert_in_sync(Article)
            assert Chunk.objects.count() == 5
            assert bad.external_data.status == "failed"
            assert "refused" in bad.external_data.error
        finally:
            get_embedder().close()
            from pgknowbase.models import EmbeddingSpace

            EmbeddingSpace.objects.update(backend="pgknowbase.embeddings.static.StaticEmbedder")
