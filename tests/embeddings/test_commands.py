import io
import json
import os
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings


def embed(*arguments):
    out = io.StringIO()
    call_command("pgknowbase_embed", *arguments, stdout=out)
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


@pytest.mark.parametrize(
    "arguments", [("--port", "70000"), ("--port", "-1"), ("--max-texts", "0"), ("--embedding", "no")]
)
def test_server_refuses(arguments):
    with pytest.raises(CommandError):
        call_command("pgknowbase_embedding_server", *arguments)


def test_server_says_that_the_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CommandError, match="--port"):
        call_command("pgknowbase_embedding_server", "--port", str(taken.getsockname()[1]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_serves_and_stops(number):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    environment["PGKNOWBASE_SERVER_KEY"] = "k"
    command = [sys.executable, "-m", "django", "pgknowbase_embedding_server", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            body = {"model": "default", "input": ["a", "b"]}
            assert httpx2.post(f"{url}/embeddings", json=body).status_code == 401
            answer = httpx2.post(f"{url}/embeddings", json=body, headers={"Authorization": "Bearer k"})
            assert len(answer.json()["data"][1]["embedding"]) == 256
            process.send_signal(number)
            assert process.wait(60) == 0
            assert process.stdout.read() == "Stopped.\n"
        finally:
            process.kill()
