"""The admin of chats: lists, filters, search, pages, exports, deletion."""

import csv
import io
import json
import subprocess
import sys

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pgknowbase.agents.models import AgentExecution
from pgknowbase.chat import ask, start, store
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.models import ExternalData
from tests.integration.agents.test_admin import sent
from tests.integration.chat.conftest import ASKED
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db
SESSIONS = reverse("admin:pgknowbase_chat_chatsession_changelist")
MESSAGES = reverse("admin:pgknowbase_chat_chatmessage_changelist")


@pytest.fixture
def root(client, db):
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def staff(client, db):
    def sign_in(*codenames):
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return sign_in


def page_of(row):
    return reverse(f"admin:pgknowbase_chat_{row._meta.model_name}_change", args=[row.pk])


def talk(user, *turns, title="", cost="0.002", model="openai:gpt-4o-mini"):
    """A session with questions and answers of these modes; one of a model has a run."""
    session = start(user, title=title)
    for question, mode in turns:
        run = None
        if mode == "model":
            run = AgentExecution.objects.create(
                agent_name="pgknowbase_chat", user=user, model=model, input_prompt="x", requests=1, tokens_used=120,
                cost=cost, status="COMPLETED",
            )  # fmt: skip
        store.store_answer(
            store.store_question(session, question),
            mode=mode,
            text=f"<b>told</b> {question}",
            search_query=question,
            execution_id=run.pk if run else None,
        )
    return session


@pytest.fixture
def talks(db):
    users = {name: User.objects.create_user(name) for name in ("ann", "bob")}
    return {
        "paid": talk(users["ann"], ("gears", "model"), ("wheels", "model")),
        "poor": talk(users["bob"], ("chains", "extractive"), ("moons", "unknown")),
        "free": talk(users["bob"], ("brakes", "model"), cost=None, model="local:any"),
    }


def listed(client, address=SESSIONS, **asked):
    response = client.get(address, asked)
    assert response.status_code == 200
    return [str(row) for row in response.context["cl"].result_list]


def test_list_with_totals(root, talks):
    page = root.get(SESSIONS)
    rows = {row.title: row for row in page.context["cl"].result_list}
    paid, poor, free = rows["gears"], rows["chains"], rows["brakes"]
    assert (paid.total_messages, paid.total_tokens, str(paid.total_cost)) == (4, 240, "0.00400000")
    assert (poor.total_messages, poor.total_tokens, poor.total_cost) == (4, 0, 0)
    assert (free.total_tokens, free.total_cost) == (120, None)
    assert (paid.models, sorted(poor.modes)) == (["openai:gpt-4o-mini"], ["extractive", "unknown"])
    content = page.content.decode()
    assert "$ 0.004000" in content
    assert content.count("unknown</td>") == 1
    for session in talks.values():
        usage = session.usage
        assert (rows[session.title].total_tokens, rows[session.title].total_cost) == (usage.tokens, usage.cost)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"who": "ann"}, ["gears"]),
        ({"mode": "unknown"}, ["chains"]),
        ({"mode": "extractive"}, ["chains"]),
        ({"mode": "model"}, ["brakes", "gears"]),
        ({"model": "local:any"}, ["brakes"]),
        ({"q": "wheels"}, ["gears"]),
        ({"q": "chains"}, ["chains"]),
        ({"q": "bob"}, ["brakes", "chains"]),
        ({"q": "bob", "mode": "unknown"}, ["chains"]),
        ({"updated_at__gte": "2020-01-01 00:00:00+00:00"}, ["brakes", "chains", "gears"]),
        ({"updated_at__lt": "2020-01-01 00:00:00+00:00"}, []),
    ],
)
def test_filters_and_search(root, talks, asked, expected):
    assert listed(root, **asked) == expected
    assert [row["title"] for row in json.loads(sent(root.get(f"{SESSIONS}export/json/", asked)))] == expected


def test_filters_of_messages(root, talks):
    found = listed(root, MESSAGES, mode__exact="unknown")
    assert found == ["assistant: <b>told</b> moons"]
    assert len(listed(root, MESSAGES, who="ann", role__exact="user")) == 2
    assert len(listed(root, MESSAGES, model="local:any")) == 1
    assert len(listed(root, MESSAGES, session__id__exact=str(talks["paid"].pk))) == 4


def test_exports(root, talks):
    rows = list(csv.DictReader(io.StringIO(sent(root.get(f"{SESSIONS}export/csv/")))))
    assert [(row["title"], row["user"], row["messages"], row["tokens"], row["cost"]) for row in rows] == [
        ("brakes", "bob", "2", "120", ""),
        ("chains", "bob", "4", "0", "0"),
        ("gears", "ann", "4", "240", "0.00400000"),
    ]
    messages = json.loads(sent(root.get(f"{MESSAGES}export/json/", {"q": "gears"})))
    assert [(one["role"], one["mode"], one["tokens"], one["user"]) for one in messages] == [
        ("assistant", "model", 120, "ann"),
        ("user", "", 0, "ann"),
        ("assistant", "model", 120, "ann"),
        ("user", "", 0, "ann"),
    ]


@pytest.mark.urls("tests.integration.chat.backoffice")
def test_session_page_shows_messages_in_order_with_readable_citations(root, session):
    answer = ask(session, ASKED)
    assert answer.citations
    gears = Article.objects.get(title="Gears")
    number = next(each["number"] for each in answer.citations if each["object_key"] == str(gears.pk))
    page = root.get(page_of(session)).content.decode()
    assert page.index(ASKED) < page.index("No language model")
    assert f'<a href="#message-{answer.pk}-{number}">[{number}]</a>' in page
    assert f'<li id="message-{answer.pk}-{number}" value="{number}">' in page
    known = ExternalData.objects.get(title="Gears")
    assert reverse("admin:pgknowbase_externaldata_change", args=[known.pk]) in page
    assert f'<a href="{reverse("admin:blog_article_change", args=[gears.pk])}" dir="auto">Gears</a>' in page
    assert f"blog.Article:{gears.pk}, chunk 0, characters 0 to " in page
    single = root.get(page_of(answer)).content.decode()
    assert "Gears of ann near 0.9 are oiled weekly." in single.split("pgknowbase-cited")[-1]
    Article.objects.filter(pk=gears.pk).delete()
    ExternalData.objects.filter(pk=known.pk).delete()
    page = root.get(page_of(session)).content.decode()
    assert f"characters 0 to {answer.citations[0]['end']}, no longer in the index" in page
    assert reverse("admin:blog_article_change", args=[gears.pk]) not in page


def test_texts_are_escaped_and_models_that_are_gone_do_no_harm(root, talks):
    message = talks["paid"].messages.get(content="<b>told</b> gears")
    cited = {"number": 1, "model": "gone.Model", "object_key": "<i>", "title": "<u>", "chunk": 0, "start": 0, "end": 3}
    message.citations = [{**cited, "digest": ""}]
    message.content += " [1] `x[1]` [2]"
    message.save()
    for row in (talks["paid"], message):
        page = root.get(page_of(row)).content.decode()
        assert "&lt;b&gt;told&lt;/b&gt; gears" in page
        assert "gone.Model:&lt;i&gt;" in page
        assert not any(mark in page for mark in ("<b>told", "<i>", "<u>"))
        assert page.count(f'href="#message-{message.pk}-1"') == 1
    assert "The object is gone" in page


def test_statements_do_not_grow_with_messages(root, session):
    def statements(address):
        with CaptureQueriesContext(connection) as captured:
            assert root.get(address).status_code == 200
        return len(captured)

    ask(session, ASKED)
    addresses = (SESSIONS, MESSAGES, page_of(session))
    [statements(address) for address in addresses]
    before = [statements(address) for address in addresses]
    for _ in range(3):
        ask(session, ASKED)
        talk(session.user, ("more", "model"))
    assert [statements(address) for address in addresses] == before


def test_long_sessions_are_cut(root, talks, monkeypatch):
    monkeypatch.setattr("pgknowbase.chat.admin.sessions.MAX_MESSAGES", 3)
    page = root.get(page_of(talks["paid"])).content.decode()
    assert f'{MESSAGES}?session__id__exact={talks["paid"].pk}">All 4 messages</a>' in page
    assert "told&lt;/b&gt; wheels" not in page


def test_only_sessions_are_deleted(staff, talks):
    client = staff("view_chatsession", "delete_chatsession", "delete_chatmessage")
    message = talks["poor"].messages.first()
    assert client.post(page_of(message)[:-7] + "delete/", {"post": "yes"}).status_code == 403
    assert client.get(reverse("admin:pgknowbase_chat_chatsession_add")).status_code == 403
    assert client.post(page_of(talks["poor"]), {"title": "other"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [str(talks["paid"].pk)], "post": "yes"}
    assert client.post(SESSIONS, data).status_code == 302
    address = reverse("admin:pgknowbase_chat_chatsession_delete", args=[talks["poor"].pk])
    assert client.post(address, {"post": "yes"}).status_code == 302
    assert [row.title for row in ChatSession.objects.all()] == ["brakes"]
    assert ChatMessage.objects.count() == 2
    assert AgentExecution.objects.count() == 3


def test_permissions(staff, talks):
    client = staff("view_chatsession")
    assert len(listed(client)) == 3
    page = client.get(page_of(talks["paid"])).content.decode()
    assert "told&lt;/b&gt; gears" in page
    assert "Delete" not in page
    hidden = (MESSAGES, reverse("admin:pgknowbase_agents_agentexecution_changelist"))
    assert not any(f'href="{address}' in page for address in hidden)
    assert client.get(MESSAGES).status_code == 403
    assert client.get(f"{MESSAGES}export/csv/").status_code == 403
    address = reverse("admin:pgknowbase_chat_chatsession_delete", args=[talks["paid"].pk])
    assert client.post(address, {"post": "yes"}).status_code == 403
    client.logout()
    assert client.get(SESSIONS).status_code == 302


WITHOUT = """
import sys
sys.modules["pydantic_ai"] = None
import django
django.setup()
from django.contrib import admin
from pgknowbase.chat.models import ChatMessage, ChatSession
print(admin.site.is_registered(ChatSession), admin.site.is_registered(ChatMessage))
"""
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                  "django.contrib.messages", "django.contrib.admin", "django.contrib.postgres", "pgtrigger",
                  "pgknowbase", "pgknowbase.agents", "pgknowbase.api", "pgknowbase.chat"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}
PGKNOWBASE = {"EMBEDDINGS": {"default": {"BACKEND": "x", "MODEL": "x", "DIMENSIONS": 1}}}
"""


def test_without_the_extra(tmp_path, monkeypatch):
    (tmp_path / "bare_settings.py").write_text(SETTINGS)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "bare_settings")
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "True True", done.stderr
