"""Refusals in OpenAI's form: of callers, of requests that are malformed, of what is too much."""

import json

import openai
import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from pgknowbase.api.models import ApiToken
from pgknowbase.api.tokens import revoke
from tests.integration.chat.conftest import ASKED
from tests.integration.openai.conftest import CHAT, said, token_of

pytestmark = pytest.mark.django_db(transaction=True)
GOOD = {"model": CHAT, "messages": [said(ASKED)]}


def ask(secret, body=GOOD, path="chat/completions", address="127.0.0.1", **headers):
    sent = {**({"Authorization": f"Bearer {secret}"} if secret else {}), **headers}
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return Client(REMOTE_ADDR=address).post(f"/v1/{path}", data, content_type="application/json", headers=sent)


def error(response, status):
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/json"
    (told,) = response.json().values()
    assert told.keys() == {"message", "type", "param", "code"}
    assert told["message"]
    return told


def test_who_is_refused(library, users, settings):
    secret = token_of(users["ann"], "chat")
    assert ask(secret).status_code == 200
    for wrong in (None, "sk-unknown", ""):
        response = ask(wrong)
        told = error(response, 401)
        assert (told["type"], told["code"]) == ("authentication_error", "invalid_api_key")
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    told = error(ask(token_of(users["ann"], "search")), 403)
    assert (told["type"], told["code"]) == ("permission_error", "missing_scope")
    # A session is no identity here.
    client = Client()
    client.force_login(users["ann"])
    error(client.get("/v1/models"), 401)
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"TOKEN_RATE": "1/minute", "ANONYMOUS_RATE": "1/minute"}}
    responses = [ask(secret) for _ in range(2)]
    told = error(responses[1], 429)
    assert (responses[0].status_code, told["type"], told["code"]) == (200, "rate_limit_error", "rate_limit_exceeded")
    assert int(responses[1].headers["Retry-After"]) > 0
    assert [ask(None, address="198.51.100.7").status_code for _ in range(2)] == [401, 429]
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"MAX_BODY_BYTES": 100}}
    error(ask(secret, {**GOOD, "more": "x" * 100}), 413)
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {}}
    get_user_model().objects.filter(pk=users["ann"].pk).update(is_active=False)
    error(ask(secret), 401)
    get_user_model().objects.filter(pk=users["ann"].pk).update(is_active=True)
    revoke(ApiToken.objects.get(user=users["ann"], scopes=["chat"]))
    error(ask(secret), 401)


LONG = 2001
MALFORMED = [
    ("{", None),
    ("", None),
    ("7", None),
    ("[]", None),
    ("null", None),
    ('{"model": NaN}', None),
    ("[" * 100_000, None),
    (b"\xff\xfe", None),
    ({}, "model"),
    ({"model": CHAT}, "messages"),
    ({**GOOD, "model": 7}, "model"),
    ({**GOOD, "model": "a\0"}, "model"),
    ({**GOOD, "messages": []}, "messages"),
    ({**GOOD, "messages": "hello"}, "messages"),
    ({**GOOD, "messages": [7]}, "messages[0]"),
    ({**GOOD, "messages": [said("x", "robot")]}, "messages[0].role"),
    ({**GOOD, "messages": [{"content": "x"}]}, "messages[0].role"),
    ({**GOOD, "messages": [said(7)]}, "messages[0].content"),
    ({**GOOD, "messages": [said("a\0")]}, "messages[0].content[0].text"),
    ({**GOOD, "messages": [said("\ud800")]}, "messages[0].content[0].text"),
    ({**GOOD, "messages": [said([{"type": "image_url", "image_url": {"url": "x"}}])]}, "messages[0].content[0].type"),
    ({**GOOD, "messages": [said(" ")]}, "messages"),
    ({**GOOD, "messages": [said("x"), said("y", "assistant")]}, "messages"),
    ({**GOOD, "messages": [said("x", "system")]}, "messages"),
    ({**GOOD, "messages": [said("x" * 20_000, "system"), said("x")]}, "messages"),
    ({**GOOD, "messages": [said("x" * 5000)]}, None),
    ({**GOOD, "messages": [said("x")] * LONG}, "messages"),
    ({**GOOD, "stream": "perhaps"}, "stream"),
    ({**GOOD, "stream_options": 7}, "stream_options"),
    ({**GOOD, "metadata": "x"}, "metadata"),
    ({**GOOD, "metadata": {"chat_session": 7}}, "metadata.chat_session"),
    ({**GOOD, "n": 2}, "n"),
    ({**GOOD, "temperature": 3}, "temperature"),
    ({**GOOD, "temperature": "hot"}, "temperature"),
    ({**GOOD, "max_tokens": 0}, "max_tokens"),
    ({**GOOD, "max_tokens": 10**400}, "max_tokens"),
    ({**GOOD, "seed": 2**64}, "seed"),
    ({**GOOD, "stop": ["x"] * 17}, "stop"),
    ({**GOOD, "stop": 7}, "stop"),
]


def test_malformed_requests(library, users, caplog):
    secret = token_of(users["ann"])
    for body, param in MALFORMED:
        for more in ({}, {"stream": True}):
            sent = {**more, **body} if isinstance(body, dict) else body
            told = error(ask(secret, sent), 400)
            assert (told["type"], told["param"]) == ("invalid_request_error", param), (body, told)
            assert "Traceback" not in told["message"]
    assert "Traceback" not in caplog.text


def test_unknown_fields_are_ignored(library, users):
    more = {
        **{
            "logprobs": True,
            "tools": [{"type": "function"}],
            "tool_choice": "auto",
            "response_format": {"type": "text"},
        },
        **{"parallel_tool_calls": False, "store": False, "service_tier": "auto", "nonsense": [1], "user": {"id": 7}},
        **{"n": None, "stream": None, "temperature": None, "max_tokens": None, "stop": None, "metadata": None},
    }
    assert ask(token_of(users["ann"]), {**GOOD, **more}).status_code == 200


def test_addresses_and_methods(users):
    secret = token_of(users["ann"])
    assert error(ask(secret, {}, "completions"), 404)["code"] == "unknown_url"
    assert error(ask(secret, {}, "chat/completions/"), 404)["code"] == "unknown_url"
    headers = {"Authorization": f"Bearer {secret}"}
    response = Client().get("/v1/chat/completions", headers=headers)
    assert (error(response, 405)["code"], response.headers["Allow"]) == ("method_not_supported", "POST")
    sent = {"data": "x", "content_type": "text/plain", "headers": headers}
    assert error(Client().post("/v1/chat/completions", **sent), 415)["code"] == "media_type"
    error(ask(secret, GOOD, Host="evil.example"), 400)


def test_what_nobody_foresaw(library, users, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise RuntimeError("the password is 4711")

    monkeypatch.setattr("pgknowbase.openai.routes.read_conversation", fail)
    told = error(ask(token_of(users["ann"])), 500)
    assert (told["type"], "4711" in told["message"]) == ("server_error", False)
    assert "the password" in caplog.text


def test_errors_are_those_of_the_client(client_of, library, users):
    with pytest.raises(openai.AuthenticationError):
        client_of(None).models.list()
    with pytest.raises(openai.PermissionDeniedError):
        client_of(users["ann"], "search").chat.completions.create(**GOOD)
    with pytest.raises(openai.BadRequestError) as refused:
        client_of(users["ann"]).chat.completions.create(**GOOD, temperature=9)
    assert (refused.value.param, refused.value.code) == ("temperature", "invalid_value")
