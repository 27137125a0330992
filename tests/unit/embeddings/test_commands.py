import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings


def embed(*arguments):
    out = io.StringIO()
    call_command("pgknowbase_embeddings", "test", *arguments, stdout=out)
    return out.getvalue()


def test_embed_as_json(static):
    result = json.loads(embed("Grüße", "--document", "--format", "json"))
    assert result["vector"] == static.embed_query("Grüße")
    assert result["norm"] == pytest.approx(1)
    assert (result["model"], result["dimensions"], result["kind"]) == ("wordllama-256", 256, "document")
    assert result["tokens"] > 0
    assert result["milliseconds"] > 0


def test_embed_as_table():
    out = embed("hello")
    assert {line.split()[0] for line in out.splitlines()} >= {
        "model",
        "dimensions",
        "norm",
        "milliseconds",
        "vector",
    }
    assert "query" in out


@pytest.mark.parametrize("arguments", [("  ",), ("x", "--embedding", "nowhere"), ("x", "--format", "xml")])
def test_embed_refuses(arguments):
    with pytest.raises(CommandError):
        embed(*arguments)


def test_embed_without_settings():
    with override_settings(PGKNOWBASE=None), pytest.raises(CommandError, match="PGKNOWBASE"):
        embed("x")
