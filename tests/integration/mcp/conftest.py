import asyncio
import json

import httpx2
import pytest
from django.core.asgi import get_asgi_application
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

ADDRESS = "http://testserver/mcp/"
ACCEPT = {"Accept": "application/json, text/event-stream"}
WORDS = {"query": "near", "mode": "keyword"}
PUBLIC = "public near 0.6"


def told(result):
    assert not result.is_error, result.content
    # The text beside the structured content is the same, for clients that know no better.
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


def titles(page):
    return sorted(found["title"] or found["chunk"].strip() for found in page["results"])


def http_client(secret, **headers):
    """A client of the project's own ASGI application, in this process."""
    transport = httpx2.ASGITransport(get_asgi_application())
    sent = {**headers, **({"Authorization": f"Bearer {secret}"} if secret else {})}
    return httpx2.AsyncClient(transport=transport, headers=sent, timeout=60)


@pytest.fixture
def as_token():
    """Run a coroutine with the SDK's client, which sends a token to the project."""

    def run(work, secret, **options):
        async def session():
            async with (
                http_client(secret) as http,
                Client(streamable_http_client(ADDRESS, http_client=http), **options) as client,
            ):
                return await work(client)

        return asyncio.run(session())

    return run
