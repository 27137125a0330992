"""What an estimate says is what the provider bills afterwards, within 3 %."""

import io
import json
import random
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from pgknowbase.models import EmbeddingSpace, OutboxEvent
from pgknowbase.spaces.lifecycle import drop_space
from pgknowbase.vectorizer.model_check import PROBE
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out, verbosity=0)
    return out.getvalue()


def estimate(*arguments):
    return json.loads(run(*arguments, "--estimate", "--format", "json"))


def within_3_percent(value):
    return pytest.approx(value, rel=0.03)


def write(count, seed):
    """Articles of many lengths, none of which a trigger has told of, so that a sync has to bring them in."""
    drawn = random.Random(seed)
    words = ["harbour", "violin", "a", "granite", "of", "meadow", "unbelievable", "lantern"]
    Article.objects.bulk_create(
        Article(title=f"{seed} {n}", body=" ".join(drawn.choices(words, k=drawn.randrange(5, 600))))
        for n in range(count)
    )
    OutboxEvent.objects.all().delete()


def documents_billed(provider):
    """Tokens, texts and calls of documents: a worker's own text is billed whenever one starts."""
    books = provider.books
    tokens = books.tokens - books.probes * provider.count_tokens(PROBE)
    return tokens, books.texts - books.probes, books.calls - books.probes


@pytest.fixture
def known_model(work):
    """The ledger knows how this model counts."""
    write(30, "before")
    run("sync_external_models", "blog.Article")
    work()


def test_sync_costs_what_its_estimate_says(provider, work, known_model):
    write(40, "later")
    Article.objects.bulk_create(Article(title="copy", body="The same text. " * 20) for _ in range(10))
    OutboxEvent.objects.all().delete()
    billed = documents_billed(provider)
    books = replace(provider.books)
    (said,) = estimate("sync_external_models", "blog.Article")
    assert provider.books == books
    assert not OutboxEvent.objects.exists()
    run("sync_external_models", "blog.Article")
    work()
    assert said["basis"] == "ledger"
    assert said["rows"] == 80
    assert said["duplicates"] == 9
    tokens, texts, calls = (now - before for now, before in zip(documents_billed(provider), billed, strict=True))
    assert said["texts"] == texts
    assert said["calls"] == pytest.approx(calls, abs=1)
    assert said["tokens"] == within_3_percent(tokens)
    assert float(said["cost"]) == within_3_percent(2 * tokens / 1_000_000)
    assert said["seconds"] > 0
    assert estimate("sync_external_models", "blog.Article")[0]["texts"] == 0


def test_space_costs_what_its_estimate_says(provider, work, known_model):
    said = estimate("pgknowbase_space", "add", "small", "--chunk-size", "200", "--chunk-overlap", "20")
    assert not EmbeddingSpace.objects.filter(name="small").exists()
    billed = documents_billed(provider)
    try:
        run("pgknowbase_space", "add", "small", "--chunk-size", "200", "--chunk-overlap", "20")
        work()
    finally:
        drop_space("default", "small")
    assert said[0]["rows"] == 30
    tokens, texts, _ = (now - before for now, before in zip(documents_billed(provider), billed, strict=True))
    assert said[0]["texts"] == texts > 60
    assert said[0]["tokens"] == within_3_percent(tokens)


def test_space_of_the_same_texts_costs_nothing(work, known_model):
    (said,) = estimate("pgknowbase_space", "add", "twin")
    assert (said["texts"], said["tokens"], float(said["cost"])) == (0, 0, 0)
    assert said["reused"] == said["chunks"] > 0


def test_sample_is_scaled_up(work, known_model):
    write(100, "many")
    (whole,) = estimate("sync_external_models", "blog.Article", "--force")
    (part,) = estimate("sync_external_models", "blog.Article", "--force", "--sample", "65")
    assert (part["rows"], part["sampled"]) == (130, 65)
    assert part["tokens"] == pytest.approx(whole["tokens"], rel=0.15)


def test_model_that_has_embedded_nothing_is_guessed(paid):
    Note.notes.create(text="Short and sweet, but longer than a word.")
    out = run("sync_external_models", "blog.Note", "--estimate")
    assert "a guess" in out
    assert "about $0.0000" in out
    assert "Nothing was sent." in out


def test_tokenizer_of_the_model_counts(settings, transactional_db):
    Note.notes.create(text="Tokens are counted here.")
    (said,) = estimate("sync_external_models", "blog.Note")
    assert said["basis"] in {"tokenizer", "about"}


def test_row_that_cannot_be_rendered_is_said(paid):
    Note.notes.create(text="explode")
    assert "1 rows could not be rendered." in run("sync_external_models", "blog.Note", "--estimate")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sync_external_models", "--sample", "5"),
        ("sync_external_models", "--estimate", "--check"),
        ("sync_external_models", "blog.Note", "--estimate", "--after", "1"),
        ("pgknowbase_space", "add", "x", "--sample", "5"),
        ("sync_external_models", "--estimate", "--sample", "0"),
    ],
)
def test_wrong_options(arguments, transactional_db):
    with pytest.raises(CommandError):
        run(*arguments)
