"""Who may call what: users by routes, tokens, CSRF, acting for others, throttling, repeated requests."""

import json
import math
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from pgknowbase.api.models import ApiToken
from pgknowbase.api.throttling import client_address
from pgknowbase.api.tokens import create_token, revoke, verify_token
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.models import ExternalData
from tests.integration.api.conftest import (
    BATCH,
    DOCUMENT,
    SEARCH,
    SIMILAR,
    STATUS,
    SYNC,
    Asker,
    grant,
    problem,
    titles,
    token_of,
)
from tests.projects.blog.models import Article

QUERY = "near 1.0"
PUBLIC = "public near 0.6"

# What each gets: a status, of a search also whose rows beside the public one. ``document``: of ann's article.
TABLE = """
                 | search       | by address   | similar | document | sync | batch | status
anonymous        | 200          | 200          | 404     | 404      | 401  | 401   | 401
bob              | 200 bob      | 200 bob      | 404     | 404      | 403  | 403   | 403
ann              | 200 ann      | 200 ann      | 200     | 200      | 403  | 403   | 403
staff            | 200          | 200          | 404     | 404      | 403  | 403   | 403
keeper           | 200          | 200          | 404     | 404      | 200  | 200   | 200
root             | 200 all      | 200 all      | 200     | 200      | 200  | 200   | 200
token of ann     | 200 ann      | 200 ann      | 200     | 200      | 403  | 403   | 403
token of keeper  | 200          | 200          | 404     | 404      | 200  | 200   | 200
token of root    | 200 all      | 200 all      | 200     | 200      | 200  | 200   | 200
root, search     | 200 all      | 200 all      | 200     | 200      | 403  | 403   | 403
root, sync       | 403          | 403          | 403     | 403      | 200  | 200   | 403
root, no scope   | 403          | 403          | 403     | 403      | 403  | 403   | 403
expired          | 401          | 401          | 401     | 401      | 401  | 401   | 401
revoked          | 401          | 401          | 401     | 401      | 401  | 401   | 401
inactive         | 401          | 401          | 401     | 401      | 401  | 401   | 401
unknown          | 401          | 401          | 401     | 401      | 401  | 401   | 401
unknown, session | 401          | 401          | 401     | 401      | 401  | 401   | 401
"""
HEAD, *ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip("\n").splitlines()]
MATRIX = {name: dict(zip(HEAD[1:], cells, strict=True)) for name, *cells in ROWS}
SEEN = {"ann": ["ann's"], "bob": ["bob's"], "all": ["ann's", "bob's", "nobody's"], "": []}


def asker(name, users):
    root = users["root"]
    if name == "anonymous":
        return Asker.nobody()
    if name in users:
        return Asker.session(users[name])
    if name.startswith("token of "):
        return Asker.token(token_of(users[name.removeprefix("token of ")]))
    if name.startswith("root, no"):
        token, secret = create_token(root, name="none", scopes=[])
        return Asker.token(secret)
    if name.startswith("root, "):
        return Asker.token(token_of(root, name.removeprefix("root, ")))
    if name.startswith("unknown"):
        made = Asker.session(root) if "session" in name else Asker.nobody()
        made.headers = {"Authorization": "Bearer pgk_" + "x" * 43}
        return made
    secret = token_of(root)
    token = ApiToken.objects.get()
    if name == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif name == "revoked":
        revoke(token)
    else:
        root.is_active = False
        root.save()
    return Asker.token(secret)


def test_matrix(library, users):
    key = library["ann's"].pk
    row = {"model_name": "blog.Article", "model_id": key}
    rows = {"model_name": "blog.Article", "model_ids": [key]}
    calls = {
        "search": lambda one: one.post(SEARCH, {"query": QUERY}),
        "by address": lambda one: one.get(SEARCH, query=QUERY),
        "similar": lambda one: one.get(SIMILAR, model="blog.Article", key=key),
        "document": lambda one: one.get(DOCUMENT, model="blog.Article", key=key),
        "sync": lambda one: one.post(SYNC, row),
        "batch": lambda one: one.post(BATCH, rows),
        "status": lambda one: one.get(STATUS),
    }
    for name, expected in MATRIX.items():
        ApiToken.objects.all().delete()
        one = asker(name, users)
        for route, cell in expected.items():
            status, _, whose = cell.partition(" ")
            response = calls[route](one)
            if status != "200":
                problem(response, int(status))
                assert (response.status_code == 401) is ("WWW-Authenticate" in response.headers) or status == "403"
            assert response.status_code == int(status), (name, route, response.content)
            if route in ("search", "by address") and status == "200":
                assert titles(response) == [*SEEN[whose], PUBLIC], (name, route)
        users["root"].is_active = True
        users["root"].save()


def test_nobody_is_refused_by_setting(library, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"ANONYMOUS_SEARCH": False}}
    problem(Asker.nobody().post(SEARCH, {"query": QUERY}), 401, "unauthenticated")


# Tokens


def test_secret_is_not_kept(users):
    token, secret = create_token(users["ann"], name="one", scopes=["search"])
    assert secret.startswith(token.prefix)
    assert secret not in str(list(ApiToken.objects.values()))
    assert verify_token(secret).user == users["ann"]
    assert verify_token(secret[:-1]) is None


def test_use_is_noted_once_a_minute(users, django_assert_num_queries):
    token, secret = create_token(users["ann"], name="one", scopes=["search"])
    verify_token(secret)
    token.refresh_from_db()
    assert timezone.now() - token.last_used_at < timedelta(minutes=1)
    with django_assert_num_queries(1):
        verify_token(secret)


def test_unknown_scope_and_past_expiry_are_refused(users):
    with pytest.raises(PgKnowbaseError, match="'fly' is unknown: use some of search"):
        create_token(users["ann"], name="one", scopes=["fly"])
    with pytest.raises(PgKnowbaseError, match="expire later"):
        create_token(users["ann"], name="one", scopes=[], expires_at=timezone.now())


def test_command(users, capsys):
    call_command("pgknowbase_token", "create", "ann", "--name", "laptop", "--scope", "search", "--days", "3")
    secret = capsys.readouterr().out.strip()
    token = verify_token(secret)
    assert (token.name, token.scopes) == ("laptop", ["search"])
    assert timedelta(days=2.9) < token.expires_at - timezone.now() <= timedelta(days=3)
    call_command("pgknowbase_token", "list")
    assert token.prefix in capsys.readouterr().out
    call_command("pgknowbase_token", "list", "--format", "json")
    assert json.loads(capsys.readouterr().out)[0]["user"] == "ann"
    call_command("pgknowbase_token", "revoke", token.prefix)
    assert verify_token(secret) is None
    for arguments in (["create", "zoe"], ["revoke", "pgk_nothing"], ["create"], ["create", "ann", "--days", "9" * 11]):
        with pytest.raises(CommandError):
            call_command("pgknowbase_token", *arguments)


def test_admin(users, admin_client, client):
    page = "/admin/pgknowbase_api/apitoken/"
    form = {"user": users["ann"].pk, "name": "from admin", "scopes": ["search"]}
    shown = admin_client.post(f"{page}add/", form, follow=True).content.decode()
    token = ApiToken.objects.get()
    assert shown.count(token.prefix) > 1
    secret = shown.partition("The token is ")[2].split()[0]
    assert verify_token(secret) == token
    changelist = admin_client.get(page).content.decode()
    assert "from admin" in changelist
    assert secret not in changelist
    detail = admin_client.get(f"{page}{token.pk}/change/").content.decode()
    assert "from admin" in detail
    assert token.digest not in detail
    admin_client.post(page, {"action": "revoke", "_selected_action": [token.pk]})
    assert verify_token(secret) is None


def test_nobody_makes_tokens_of_others_in_the_admin(users, client):
    staff = grant(users["staff"], "pgknowbase_api.add_apitoken", "pgknowbase_api.view_apitoken")
    client.force_login(staff)
    page = "/admin/pgknowbase_api/apitoken/add/"
    form = {"name": "x", "scopes": ["search"]}
    assert "You may not act for others" in client.post(page, {**form, "user": users["ann"].pk}).content.decode()
    grant(staff, "pgknowbase_api.act_for_others")
    assert "Only a superuser" in client.post(page, {**form, "user": users["root"].pk}).content.decode()
    assert not ApiToken.objects.exists()
    client.post(page, {**form, "user": users["ann"].pk})
    client.post(page, {**form, "user": staff.pk})
    assert {token.user for token in ApiToken.objects.all()} == {users["ann"], staff}


# CSRF


def test_session_needs_a_csrf_token_to_post(library, users):
    client = Client(enforce_csrf_checks=True)
    client.force_login(users["keeper"])
    one = Asker(client, {})
    problem(one.post(SEARCH, {"query": QUERY}), 403, "csrf")
    problem(one.post(SYNC, {"model_name": "blog.Article", "model_id": 1}), 403, "csrf")
    assert one.get(SEARCH, query=QUERY).status_code == 200
    client.cookies["csrftoken"] = "a" * 32
    assert one.post(SEARCH, {"query": QUERY}, **{"X-CSRFToken": "a" * 32}).status_code == 200
    problem(one.post(SEARCH, {"query": QUERY}, **{"X-CSRFToken": "b" * 32}), 403, "csrf")


def test_tokens_and_nobody_need_none(library, users):
    client = Client(enforce_csrf_checks=True)
    assert Asker(client, {}).post(SEARCH, {"query": QUERY}).status_code == 200
    headers = Asker.token(token_of(users["ann"])).headers
    client.force_login(users["bob"])
    assert titles(Asker(client, headers).post(SEARCH, {"query": QUERY})) == ["ann's", PUBLIC]


# Acting for others


def test_no_route_is_a_problem_where_the_project_checks_csrf_tokens(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    client = Client(enforce_csrf_checks=True)
    problem(client.post("/api/knowledge/nowhere/", {}, content_type="application/json"), 404, "no-route")


def test_acting_for_others(library, users):
    agent, ann = Asker.session(users["agent"]), Asker.session(users["ann"])

    def ask(one, user_id):
        return one.post(SEARCH, {"query": QUERY, "user_id": user_id})

    assert titles(ask(agent, users["bob"].pk)) == ["bob's", PUBLIC]
    assert titles(ask(agent, str(users["bob"].pk))) == ["bob's", PUBLIC]
    assert titles(ask(agent, users["agent"].pk)) == [PUBLIC]
    problem(ask(agent, users["root"].pk), 403)
    assert len(titles(ask(Asker.session(users["root"]), users["root"].pk))) == 4
    assert titles(ask(ann, users["ann"].pk)) == ["ann's", PUBLIC]
    for one in (ann, Asker.nobody(), Asker.session(users["staff"]), Asker.session(users["keeper"])):
        problem(ask(one, users["bob"].pk), 403, "permission")
    for nobody in (0, -1, 10**30, "x", "\x00", ""):
        problem(ask(agent, nobody), 422, "no-user")
    users["bob"].is_active = False
    users["bob"].save()
    problem(ask(agent, users["bob"].pk), 422, "no-user")


def test_token_needs_the_scope_to_act_for_others(library, users):
    body = {"query": QUERY, "user_id": users["bob"].pk}
    problem(Asker.token(token_of(users["agent"], "search")).post(SEARCH, body), 403, "scope")
    both = Asker.token(token_of(users["agent"], "search", "act_for_others"))
    assert titles(both.post(SEARCH, body)) == ["bob's", PUBLIC]
    problem(Asker.token(token_of(users["ann"])).post(SEARCH, body), 403, "permission")


# Throttling


def limited(settings, **rates):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {name.upper(): rate for name, rate in rates.items()}}


def test_throttle(library, users, settings):
    limited(settings, anonymous_rate="2/hour", user_rate="3/hour", token_rate="1/day")
    body = {"query": "bob", "mode": "keyword"}
    for one, allowed in (
        (Asker.nobody(), 2),
        (Asker.session(users["ann"]), 3),
        (Asker.session(users["bob"]), 3),
        (Asker.token(token_of(users["ann"])), 1),
    ):
        for _ in range(allowed):
            assert one.post(SEARCH, body).status_code == 200
        response = one.post(SEARCH, body)
        problem(response, 429, "throttled")
        assert 0 < int(response.headers["Retry-After"]) <= 86_400 * 61 / 60 + 1
        problem(one.get(STATUS), 429)


def test_guesses_of_tokens_are_throttled(users, settings):
    limited(settings, anonymous_rate="2/hour")
    guesses = [Asker.token(f"pgk_{number}").get(STATUS).status_code for number in range(3)]
    assert guesses == [401, 401, 429]


def test_throttle_lets_pass_again(users, settings):
    limited(settings, user_rate="1/hour")
    ann = Asker.session(users["ann"])
    problem(ann.get(STATUS), 403)
    problem(ann.get(STATUS), 429)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pgknowbase_throttle SET latest = latest - 61")
    problem(ann.get(STATUS), 403)


def test_throttle_lets_no_more_pass_in_any_period(db):
    """Requests as fast as they are let pass, for three periods; each is moved into the past instead of waited for."""
    from pgknowbase.core import gateway

    allowed, period, times, now = 10, 60, [], 0.0
    with connection.cursor() as cursor:
        while now < 3 * period:
            wait = gateway.fetch_value("default", "throttle", caller="eager", max_requests=allowed, period=period)
            if not wait:
                times.append(now)
                continue
            assert 0 < wait <= period + 1
            slots = math.ceil(wait)  # one second is a sixtieth of the period
            cursor.execute("UPDATE pgknowbase_throttle SET latest = latest - %s", [slots])
            now += slots
    assert len(times) >= 3 * allowed - 1
    for start in times:
        assert sum(start <= time < start + period for time in times) <= allowed


def test_throttle_follows_a_changed_rate(db):
    from pgknowbase.core import gateway

    def ask(count, period):
        return gateway.fetch_value("default", "throttle", caller="one", max_requests=count, period=period)

    assert [ask(1, 60) == 0, ask(1, 60) == 0, ask(2, 60) == 0] == [True, False, True]
    for period in (86_400, 1, 3600):
        assert [ask(1, period) == 0, ask(1, period) == 0] == [True, False]


def test_throttle_forgets(db):
    from pgknowbase.core import gateway

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO pgknowbase_throttle SELECT 'old ' || n, 1, '{1}', now() - interval '1 s'"
            " FROM generate_series(1, 5) AS n"
        )
        for number in range(3):
            assert gateway.fetch_value("default", "throttle", caller=f"new {number}", max_requests=1, period=60) == 0
        cursor.execute("SELECT count(*) FROM pgknowbase_throttle WHERE bucket LIKE 'old %'")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_throttle_counts_concurrent_requests_together(users):
    from pgknowbase.core import gateway

    passed = []

    def ask():
        for _ in range(5):
            passed.append(gateway.fetch_value("default", "throttle", caller="many", max_requests=7, period=3600) == 0)
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed.count(True) == 7
    assert len(passed) == 20


@pytest.mark.parametrize(
    ("remote", "forwarded", "proxies", "expected"),
    [
        ("10.0.0.1", "1.2.3.4", 0, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", 1, "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", 2, "1.2.3.4"),
        ("10.0.0.1", "", 1, "10.0.0.1"),
        ("10.0.0.1", "no address", 1, "unknown"),
        ("2001:db8:1:2:3:4:5:6", "", 0, "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", "", 0, "1.2.3.4"),
        ("", "", 0, "unknown"),
    ],
)
def test_address(rf, settings, remote, forwarded, proxies, expected):
    limited(settings, trusted_proxies=proxies)
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert client_address(rf.get("/", REMOTE_ADDR=remote, headers=headers)) == expected


# Requests that are sent again


@pytest.fixture
def row(library):
    article = Article.objects.create(title="fresh", body="near 0.5")
    return {"model_name": "blog.Article", "model_id": article.pk}


def test_repeated_sync_changes_nothing(users, row):
    keeper = Asker.session(users["keeper"])
    first, again = (keeper.post(SYNC, row, **{"Idempotency-Key": "one"}) for _ in range(2))
    assert first.json()["message"] == "New in the index."
    assert again.json()["message"] == "Nothing has changed."
    assert again.json()["external_data_id"] == first.json()["external_data_id"]


def test_key_does_not_stand_in_for_a_permission(users, row):
    key = {"Idempotency-Key": "one"}
    assert Asker.session(users["keeper"]).post(SYNC, row, **key).status_code == 200
    users["keeper"].user_permissions.clear()
    problem(Asker.session(users["keeper"]).post(SYNC, row, **key), 403)


def test_nothing_is_written_by_who_may_not(users, row):
    Asker.session(users["ann"]).post(SYNC, row)
    assert not ExternalData.objects.filter(title="fresh").exists()
