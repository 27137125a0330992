"""OAuth 2.1 from end to end: the SDK's own client, a page of consent in Chromium, and ``runserver``."""

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from django.db import connection
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

from tests.acceptance.browser.conftest import CHROMIUM
from tests.integration.api.conftest import library, token_of, users  # noqa: F401
from tests.integration.mcp.conftest import ACCEPT, WORDS, titles, told
from tests.integration.search.conftest import index, provider  # noqa: F401

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # What Chromium's driver leaves open is not ours.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.projects.oauth.settings"}
CALLBACK = "http://127.0.0.1:9/callback"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": WORDS}}
TABLES = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE tablename LIKE 'oauth2_provider_%'"


@pytest.fixture
def site(manage):
    """The address of the project with an authorization server."""
    assert manage("migrate", "--run-syncdb", "--verbosity=0", **SETTINGS).wait() == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = manage("runserver", "--noreload", f"127.0.0.1:{port}", **SETTINGS)
    while True:
        assert server.poll() is None, server.communicate()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        cursor.execute(f"DROP TABLE {cursor.fetchone()[0]} CASCADE")


class Kept:
    """What the SDK's client keeps."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def consent(address, seen):
    """What a person does: sign in, read what is asked, and allow it; returns where the browser is sent then."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.route("http://127.0.0.1:9/**", lambda route: route.fulfill(body="Thank you."))
        page.goto(address)
        page.get_by_label("Username").fill("ann")
        page.get_by_label("Password").fill("gears")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name="Authorize").wait_for()
        seen.append(page.locator("form").inner_text())
        page.get_by_role("button", name="Authorize").click()
        page.wait_for_url(f"{CALLBACK}**")
        landed = page.url
        browser.close()
    return landed


async def search(site, kept, seen):
    """A search by the SDK's client, which has to find out by itself how to get in."""
    landed = []

    async def open_browser(address):
        landed.append(await asyncio.to_thread(consent, address, seen))

    async def code():
        given = {name: values[0] for name, values in parse_qs(urlsplit(landed[-1]).query).items()}
        return AuthorizationCodeResult(code=given["code"], state=given["state"], iss=given["iss"])

    metadata = OAuthClientMetadata(
        client_name="Program of a stranger", redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
    )
    auth = OAuthClientProvider(f"{site}/mcp/", metadata, kept, open_browser, code)
    async with (
        httpx2.AsyncClient(auth=auth, timeout=120) as http,
        Client(streamable_http_client(f"{site}/mcp/", http_client=http)) as client,
    ):
        return titles(told(await client.call_tool("search", WORDS)))


def asked(address, secret=None, body=None):
    """Status, challenge and JSON of a request by hand."""
    headers = {**ACCEPT, "Content-Type": "application/json"}
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    elif body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.headers["WWW-Authenticate"], json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.status, error.headers["WWW-Authenticate"], json.load(error)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_stranger_gets_in(site, library, users):  # noqa: F811
    ann, kept, seen = users["ann"], Kept(), []
    ann.set_password("gears")
    ann.is_staff = True  # she signs in by the admin
    ann.save()
    assert asyncio.run(search(site, kept, seen)) == ["ann's", "public near 0.6"]
    assert "Program of a stranger" in seen[0]
    assert "Search, and ask for what is similar" in seen[0]
    assert "Run agents" not in seen[0]
    assert kept.tokens.scope == "search"
    assert asyncio.run(search(site, kept, seen)) == ["ann's", "public near 0.6"]
    assert len(seen) == 1, "the token is good for more than one session"

    # The metadata, and the challenge that leads there.
    metadata = f"{site}/.well-known/oauth-protected-resource/mcp/"
    status, challenge, error = asked(f"{site}/mcp/", body=CALL)
    assert (status, error["jsonrpc"]) == (401, "2.0")
    assert challenge == f'Bearer realm="pgknowbase", scope="search", resource_metadata="{metadata}"'
    described = asked(metadata)[2]
    assert described["resource"] == f"{site}/mcp"
    assert described["authorization_servers"] == [f"{site}/oauth"]
    assert "search" in described["scopes_supported"]
    assert "act_for_others" not in described["scopes_supported"]
    server = asked(f"{site}/.well-known/oauth-authorization-server/oauth")[2]
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert server["registration_endpoint"].startswith(f"{site}/oauth/")

    # The same token elsewhere, ours beside it, and tokens that are no good.
    secret = kept.tokens.access_token
    status, challenge, _ = asked(f"{site}/api/knowledge/search/", secret, {"query": "near", "mode": "keyword"})
    assert (status, "invalid_token" in challenge) == (401, True), "it was made for /mcp/ alone"
    assert f'resource_metadata="{site}/.well-known/oauth-protected-resource/api/"' in challenge
    assert asked(f"{site}/mcp/", token_of(ann), CALL)[0] == 200
    for change, status, code in (
        ("scope = 'status'", 403, "insufficient_scope"),
        ("scope = 'search act_for_others'", 200, None),
        ("resource = '[\"https://example.org/mcp\"]'", 401, "invalid_token"),
        (f"resource = '[\"{site}/\"]'", 200, None),
        ("scope = 'search', expires = now() - interval '1 second'", 401, "invalid_token"),
    ):
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE oauth2_provider_accesstoken SET {change} WHERE user_id IS NOT NULL")
        found, challenge, _ = asked(f"{site}/mcp/", secret, CALL)
        assert (found, code is None or f'error="{code}"' in challenge) == (status, True), (change, challenge)

    # It expired: another one needs no person, and the old refresh token is good for one use.
    renewal = {"grant_type": "refresh_token", "refresh_token": kept.tokens.refresh_token}
    form = urlencode({**renewal, "client_id": kept.client.client_id}).encode()
    status, _, renewed = asked(f"{site}/oauth/token/", body=form)
    assert (status, renewed["scope"]) == (200, "search")
    assert asked(f"{site}/mcp/", renewed["access_token"], CALL)[0] == 200
    assert asked(f"{site}/oauth/token/", body=form)[0] == 400
    assert asked(f"{site}/mcp/", renewed["access_token"], CALL)[0] == 401, "reuse ends the whole family"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM oauth2_provider_accesstoken WHERE token <> ''")
        assert cursor.fetchone() == (0,), "secrets are kept as digests"
