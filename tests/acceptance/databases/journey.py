"""The short journey: rows are written, indexed, found, compared, changed and deleted, on one database.

Run by itself, it does so with the settings of PGKNOWBASE_TEST_SETTINGS, and through every surface of the project.
"""

import io
import json
import sys
from datetime import timedelta

import django


def journey(using):
    """Index rows of the database ``using``; every step asserts what it finds."""
    from django.core.management import call_command

    from pgknowbase.models import ExternalData
    from pgknowbase.search.questions import SearchQuery
    from pgknowbase.search.service import search
    from pgknowbase.search.visibility import UNRESTRICTED
    from pgknowbase.testing import assert_in_sync, drain
    from tests.projects.blog.models import Article, Category

    food = Category.objects.using(using).create(name="food")
    rice = Article(title="Rice", body="Wash the rice, then steam it.", category=food, year=2020)
    rice.save(using=using)
    files = Article.objects.using(using).create(title="Files", body="How to read a compressed file, für später.")
    assert drain(using).documents == 2
    assert_in_sync(using=using)
    rows = Article.objects.using(using)
    assert rows.semantic_search("steam the rice", threshold=-1)[0] == rice
    assert rows.keyword_search("compressed")[0] == files
    assert [hit.object_key for hit in ExternalData.objects.using(using).search("rice", mode="hybrid", limit=1)]
    assert search(SearchQuery(query="steam the rice"), viewer=UNRESTRICTED).results[0].title == "Rice"
    meals = Category.objects.using(using).create(name="meals")
    Article.objects.using(using).filter(pk=rice.pk).update(category=meals)
    files.body = "How to repair a bicycle."
    files.save()
    drain(using)
    assert rice.external_data.tags == ["meals"]
    assert rows.keyword_search("bicycle")[0] == files
    assert not rows.keyword_search("compressed")
    assert rice.sync_to_external_data(wait=True).unchanged == 1
    assert rice.similar(1, threshold=-1)[0] == files
    files.delete()
    rice.delete()
    drain(using)
    assert not ExternalData.objects.using(using).exists()
    assert_in_sync(using=using)
    printed = io.StringIO()
    call_command("sync_external_models", check=True, format="json", database=using, stdout=printed)
    assert all(model["rows"] == 0 for model in json.loads(printed.getvalue()))
    Category.objects.using(using).all().delete()
    drain(using)


def surfaces(using):
    """Search through REST, the admin, chat, MCP and an agent's tools, and run every command that reads."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from pgknowbase.agents import DjangoDeps
    from pgknowbase.agents.models import ToolExecution
    from pgknowbase.agents.toolsets import knowledge_tools, orm_tools
    from pgknowbase.chat.retrieval import find_passages
    from pgknowbase.mcp.identity import FixedUser
    from pgknowbase.models import ExternalData
    from pgknowbase.operations.why_missing import why_missing
    from pgknowbase.reactions.registry import declared_reactions
    from pgknowbase.sources.registry import source_of
    from pgknowbase.testing import assert_ranks, drain
    from tests.integration.agents.conftest import make_agent, saying
    from tests.projects.blog.models import Article

    user = get_user_model().objects.db_manager(using).create_superuser("root")
    rice = Article(title="Rice", body="Wash the rice, then steam it.", author=user)
    rice.save(using=using)
    drain()
    assert_ranks("steam the rice", [rice])
    now = timezone.now()
    dated = ExternalData.objects.using(using)
    assert dated.search("rice", changed_from=now - timedelta(hours=1), changed_before=now + timedelta(hours=1))
    assert not dated.search("rice", changed_before=now - timedelta(hours=1))
    later = now + timedelta(hours=1)
    assert "filtered" in why_missing("rice", source_of(Article), str(rice.pk), using=using, changed_from=later).codes
    data = ExternalData.objects.using(using).get()
    client = Client()
    client.force_login(user)
    found = client.get("/api/knowledge/search/", {"query": "steam the rice"})
    assert found.json()["results"][0]["title"] == "Rice", found.content
    for url in (
        reverse("admin:pgknowbase_externaldata_changelist"),
        reverse("admin:pgknowbase_externaldata_change", args=[data.pk]),
        reverse("admin:pgknowbase_outboxevent_changelist"),
        reverse("admin:pgknowbase_embeddingspace_changelist"),
        reverse("admin:pgknowbase_workerheartbeat_changelist"),
        reverse("admin:pgknowbase_agents_agentexecution_changelist"),
        reverse("admin:pgknowbase_chat_chatsession_changelist"),
        reverse("admin:pgknowbase_api_apitoken_changelist"),
        reverse("admin:pgknowbase_agents_metrics"),
        reverse("admin:index"),
    ):
        shown = client.get(url)
        assert shown.status_code == 200, (url, shown.content)
    asked = client.post("/api/chat/sessions/", {}, "application/json")
    assert asked.status_code == 201, asked.content
    answered = client.post(
        f"/api/chat/sessions/{asked.json()['id']}/messages/",
        {"question": "how do I steam the rice?"},
        "application/json",
    )
    assert answered.status_code == 200, answered.content
    assert find_passages("steam the rice", user)
    assert FixedUser("root").viewer() == user
    for tools, name, arguments in (
        (knowledge_tools(), "search_knowledge", {"query": "rice"}),
        (knowledge_tools(), "fetch_knowledge", {"document_id": data.pk}),
        (orm_tools({"blog.Article": ["title"]}), "query_model", {"model": "blog.Article"}),
    ):
        agent = make_agent(toolsets=[tools])
        agent.run_sync("x", deps=DjangoDeps(user_id=user.pk), model=saying((name, arguments), "end"))
        called = ToolExecution.objects.using(using).latest("pk")
        assert "Rice" in json.dumps(called.result), (name, called.result, called.error)
    for reaction in declared_reactions():
        reaction.check_condition(using)
    for command in (
        ["check"],
        ["check", "--database", using],
        ["makemigrations", "--check", "--dry-run"],
        ["pgknowbase_worker", "--once"],
        ["pgknowbase_status"],
        ["pgknowbase_doctor"],
        ["pgknowbase_dead_letters"],
        ["pgknowbase_space", "list"],
        ["pgknowbase_token", "list"],
        ["orchestrator_status"],
        ["agent_metrics"],
        ["sync_external_models", "--repair"],
    ):
        call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())
    rice.delete()
    drain()


if __name__ == "__main__":
    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]
    alias = settings.PGKNOWBASE.get("DATABASE", "default")
    for name in sys.argv[1:]:
        {"journey": journey, "surfaces": surfaces}[name](alias)
    sys.stdout.write("arrived")
