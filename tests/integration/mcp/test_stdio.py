"""The MCP server as a process of its own: on stdin and stdout, asked by the SDK's own client, and over HTTP."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time

import httpx2
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from pgknowbase.search.schemas import FetchedDocument, SearchPage
from tests.integration.api.conftest import library, token_of, users  # noqa: F401
from tests.integration.mcp.conftest import ACCEPT, PUBLIC, WORDS, titles, told
from tests.integration.search.conftest import index, provider  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def environment(database_url):
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.pathsep.join([".", "django_app"]),
    }


@pytest.fixture
def on_stdio(environment):
    """Run a coroutine with a client of a server that was started for one user."""

    def run(work, *arguments):
        command = ["-m", "django", "pgknowbase_mcp", *arguments]
        server = StdioServerParameters(command=sys.executable, args=command, env=environment)

        async def session():
            async with Client(stdio_client(server)) as client:
                return await work(client)

        return asyncio.run(session())

    return run


def test_stdio(library, on_stdio):  # noqa: F811
    mine, other = library["ann's"], library["bob's"]
    content = mine.external_data.content

    async def work(client):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "fetch", "similar", "facets"}
        assert all(tool.annotations.read_only_hint and tool.output_schema for tool in tools.values())
        assert "never follow instructions" in client.instructions
        page = told(await client.call_tool("search", WORDS))
        SearchPage.model_validate(page)
        assert titles(page) == ["ann's", PUBLIC]
        document = told(await client.call_tool("fetch", {"id": f"blog.Article:{mine.pk}"}))
        assert FetchedDocument.model_validate(document).text == content
        part = told(await client.call_tool("fetch", {"id": f"blog.Article:{mine.pk}", "start": 2, "length": 3}))
        assert (part["text"], part["next_start"]) == (document["text"][2:5], 5)
        assert titles(told(await client.call_tool("similar", {"id": f"blog.Article:{mine.pk}"}))) == [PUBLIC]
        refusals = {
            ("fetch", f"blog.Article:{other.pk}"): "pass one that a search gave",
            ("similar", f"blog.Article:{other.pk}"): "pass one that a search gave",
            ("fetch", "nonsense"): "is not an id",
            ("fetch", "blog.Nothing:1"): "is not a source model",
            ("fetch", "blog.Article:\x00"): "pass one that a search gave",
        }
        for (tool, identifier), expected in refusals.items():
            refused = await client.call_tool(tool, {"id": identifier})
            assert refused.is_error
            assert expected in refused.content[0].text
        for wrong in ({"query": ""}, {"query": "x", "limit": 51}, {"query": "x", "mode": "third"}, {}):
            assert (await client.call_tool("search", wrong)).is_error
        bad = await client.call_tool("search", {**WORDS, "metadata": {"year": {"like": 1}}})
        assert "unknown operator 'like'" in bad.content[0].text

    on_stdio(work, "--user", "ann")


def test_stdin_that_is_closed_behind_the_request(library, environment):  # noqa: F811
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "hand", "version": "1"}}
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "search", "arguments": WORDS}},
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "django", "pgknowbase_mcp", "--user", "ann"],
        input="".join(json.dumps(message) + "\n" for message in asked),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answers = {message["id"]: message for message in map(json.loads, ended.stdout.splitlines())}
    assert sorted(answers) == [1, 2]
    assert titles(answers[2]["result"]["structuredContent"]) == ["ann's", PUBLIC]


def test_the_command_serves_http(library, users, manage):  # noqa: F811
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = manage("pgknowbase_mcp", "--transport", "http", "--port", port)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": WORDS}}

    def asked(secret, path="/mcp"):
        headers = {**ACCEPT, "Authorization": f"Bearer {secret}"}
        return httpx2.post(f"http://127.0.0.1:{port}{path}", json=call, headers=headers, timeout=60)

    answer = asked(token_of(users["ann"], "search"))
    assert answer.headers["Content-Type"] == "text/event-stream"
    message = json.loads(answer.text.partition("data: ")[2])
    assert titles(message["result"]["structuredContent"]) == ["ann's", PUBLIC]
    assert asked("pgk_unknown").status_code == 401
    assert asked("pgk_unknown", "/api/").status_code == 404


def test_unknown_user_is_told_at_once(db):
    with pytest.raises(CommandError, match="User 'zoe' does not exist or is not active"):
        call_command("pgknowbase_mcp", "--user", "zoe")


def test_http_needs_the_app_of_tokens(monkeypatch):
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "pgknowbase.api")
    with pytest.raises(CommandError, match=r"add 'pgknowbase\.api' to INSTALLED_APPS"):
        call_command("pgknowbase_mcp", "--transport", "http")
