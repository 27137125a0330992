"""Every list and form of the admin, with rows in it, in Chromium: no error in the console."""

import os
from base64 import b64encode
from datetime import timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import matplotlib
import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Value
from django.db.models.functions import Concat
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont

from pgknowbase.agents.models import (
    AgentDefinition,
    AgentExecution,
    ApprovalRequest,
    Status,
    ToolExecution,
    WorkflowExecution,
)
from pgknowbase.api.models import ApiToken
from pgknowbase.api.tokens import create_token
from pgknowbase.chat import ask
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.models import (
    DailyUsage,
    Delivery,
    Expansion,
    ExternalData,
    OutboxEvent,
    ReactionEvent,
    RecallMeasurement,
    RenderCost,
    WorkerHeartbeat,
)
from pgknowbase.worker import Worker
from tests.integration.agents.test_admin import fill
from tests.integration.chat.test_admin import talk
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)
# PGKNOWBASE_SCREENSHOTS=docs/images makes the pictures of the README anew.
SCREENS = os.environ.get("PGKNOWBASE_SCREENS")  # a folder for pictures of all pages
PICTURES = os.environ.get("PGKNOWBASE_SCREENSHOTS")
TEXTS = {
    "Repairing a bicycle": "A worn chain skips under load. Clean it, measure it, replace it before the sprockets go.",
    "Brakes that squeal": "Squealing bicycle brakes are dirty or badly aligned. Sand the pads and set them toe-in.",
    "Buying a used bicycle": "Look at the frame first, then at the chain and the wheels. Repair costs add up.",
    "Sourdough bread": "Feed the starter at night. Flour, water, salt and patience make the bread.",
    "Growing tomatoes": "Tomatoes like sun, warm nights and a steady supply of water.",
}


@pytest.fixture
def root(client, transactional_db):
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def rows(root):
    """At least one row in each table of the admin."""
    OutboxEvent.objects.all().delete()
    for title, body in TEXTS.items():
        Article.objects.create(title=title, body=body)
    Note.notes.create(text="explode")
    Worker().run_until_idle()
    fill(3)
    Article.objects.create(title="Waits", body="in the outbox")
    Expansion.objects.create(source="blog.Article", path="category", object_keys=["1"])
    now = timezone.now()
    Delivery.objects.create(
        reaction="analyse", model="blog.Article", object_key="1", op="U", state="dead", event=1, error="It broke."
    )
    ReactionEvent.objects.create(reaction="analyse", object_keys=["1", "2"], op="U")
    RecallMeasurement.objects.create(
        space="default", model="(all)", selectivity=1, passing=5, queries=10, max_hits=10, ef_search=40, recall=0.98,
        milliseconds=1.5, exact_milliseconds=9, target=0.95,
    )  # fmt: skip
    RenderCost.objects.get_or_create(
        source="blog.Note",
        defaults={"rows": 9, "seconds": 0.5, "statements": 20, "slowest_share": 0.5, "querying_statements": 2},
    )
    create_token(User.objects.get(username="root"), name="browser", scopes=["search"])
    ask(talk(User.objects.get(username="root"), ("wheels", "model"), ("moons", "unknown")), "repair a bicycle")
    WorkerHeartbeat.objects.create(id=uuid4(), host="host", pid=1, role="both", started_at=now, beat_at=now)


def admins():
    """What pgknowbase's apps have in the admin; a new one comes by itself."""
    found = {model: shown for model, shown in admin.site._registry.items() if is_ours(model._meta.app_config.name)}
    assert len(found) >= 18
    return found


def is_ours(app):
    return app == "pgknowbase" or app.startswith("pgknowbase.")


def pages(site, user):
    """For each model the list and the page of its last row, and where there are such the form and the deletion."""
    request = RequestFactory().get("/")
    request.user = user
    found = {}
    for model, shown in admins().items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._base_manager.order_by("pk").last()
        assert row is not None, f"{model._meta.label} has no row: make one in the fixture `rows`"
        found[f"{model.__name__} {'page' if model is DailyUsage else 'list'}"] = reverse(f"{name}_changelist")
        found[f"{model.__name__} form"] = reverse(f"{name}_change", args=[row.pk])
        if shown.has_add_permission(request):
            found[f"{model.__name__} new"] = reverse(f"{name}_add")
        if shown.has_delete_permission(request, row):
            found[f"{model.__name__} deletion"] = reverse(f"{name}_delete", args=[row.pk])
    found["index"] = reverse("admin:index")
    found["metrics"] = reverse("admin:pgknowbase_agents_metrics")
    found["knowledge"] = f"{reverse('admin:pgknowbase_knowledge')}?q=bicycle"
    return {name: f"{site}{path}" for name, path in found.items()}


# By how many pixels the page and its list are too wide: in the machine's own font, then in each of ``FONTS``.
TOO_WIDE = """async (fonts) => {
    const excess = () => [document.documentElement, ...document.querySelectorAll("#changelist .results")]
        .map((each) => each.scrollWidth - each.clientWidth);
    const seen = {default: excess()};
    for (const font of fonts) {
        const faces = ["13px ", "bold 13px "].map((style) => document.fonts.load(style + font));
        const loaded = (await Promise.all(faces)).every((found) => found.length === 1);
        document.documentElement.dataset.font = font;
        if (!loaded || getComputedStyle(document.body).fontFamily !== font) throw new Error(font);
        seen[font] = excess();
    }
    return seen;
}"""
# Fonts that come with Matplotlib, so that every machine tests the same ones: two wide and a narrow one.
FONTS = {"DejaVuSans": ("", "-Bold"), "DejaVuSerif": ("", "-Bold"), "STIXGeneral": ("", "Bol")}
LONG = "Kindergartenkinder_und-ihre.Eltern"


def lengthen():
    """Names and texts as long as people have them."""
    AgentExecution.objects.update(
        agent_name="quarterly_report_reviewer", model="anthropic:claude-sonnet-4-5-20250929", tokens_used=1_234_567,
        cost="12.345678", execution_time=123.4, input_prompt=f"{LONG} " * 50, created_at=timezone.now(),
    )  # fmt: skip
    WorkflowExecution.objects.update(
        workflow_name="quarterly_report_review", pattern="conditional", total_tokens=1_234_567, total_cost="12.345678",
        execution_time=123.4, initial_prompt=f"{LONG} " * 50,
    )  # fmt: skip
    ToolExecution.objects.update(tool_name="delete_quarterly_report", status="COMPLETED")
    ApprovalRequest.objects.update(
        tool_name="delete_quarterly_report", arguments={"path": f"/{LONG}" * 9}, decided_at=timezone.now()
    )
    AgentDefinition.objects.update(model="anthropic:claude-sonnet-4-5-20250929")
    Delivery.objects.update(
        reaction="warehouse.analyse_quarterly_report", model="warehouse.QuarterlyReport", object_key=str(uuid4()),
        error=f"RunFailedError: {LONG * 9}", finished_at=timezone.now(),
    )  # fmt: skip
    ReactionEvent.objects.update(
        reaction="warehouse.analyse_quarterly_report", object_keys=[str(uuid4()) for _ in range(9)]
    )
    OutboxEvent.objects.update(object_keys=[str(uuid4()) for _ in range(9)])
    Expansion.objects.update(object_keys=[str(uuid4()) for _ in range(9)])
    ExternalData.objects.update(title=LONG * 3, attempts=3)
    WorkerHeartbeat.objects.update(host="warehouse-worker-7d9f8b6c5d-x2x4z.warehouse.svc.cluster.local")
    RenderCost.objects.update(slowest_hook="get_external_content", querying_hook="should_sync_to_external_data")
    ApiToken.objects.update(name=LONG, scopes=["search", "agents", "approvals"], last_used_at=timezone.now())
    ChatSession.objects.update(title=LONG * 3)
    ChatMessage.objects.update(content=LONG * 9)
    User.objects.filter(username__startswith="user-").update(username=Concat("username", Value("@mail.example.com")))


@cache
def fonts():
    """A style sheet that shows all text in the one of ``FONTS`` that ``data-font`` of the page names.

    Of the fonts' glyphs it has those of European languages; whole fonts are megabytes, which each page reads anew.
    """
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    rules = []
    for font, suffixes in FONTS.items():
        rules.append(f"[data-font={font}] * {{font-family: {font} !important}}")
        for suffix, weight in zip(suffixes, ("400", "600 900"), strict=True):
            glyphs, small = Subsetter(), BytesIO()
            glyphs.populate(unicodes=range(0x250))
            with TTFont(folder / f"{font}{suffix}.ttf") as whole:
                glyphs.subset(whole)
                whole.save(small)
            source = f"url(data:font/ttf;base64,{b64encode(small.getvalue()).decode()})"
            rules.append(f"@font-face {{font-family: {font}; font-weight: {weight}; src: {source}}}")
    return "\n".join(rules)


def test_every_list_and_form(browse, root, rows, live_server):
    """Without errors, and no list is wider than the window, whatever names and texts people have."""
    lengthen()
    wanted = pages(live_server.url, User.objects.get(username="root"))
    # That page is Django's own: in the browser one is enough.
    for name in [name for name in wanted if name.endswith(" deletion")][1:]:
        assert root.get(wanted.pop(name)).status_code == 200, name

    def work(browser):
        seen, widths = {}, {}
        for name, url in wanted.items():
            seen[name] = browser.visit(url), browser.unseen_focus(), browser.page.locator("#result_list").count()
            if SCREENS:
                browser.page.screenshot(path=str(Path(SCREENS) / f"{name}.png"))
            if name.endswith(" list"):
                browser.page.add_style_tag(content=fonts())
                for font, pixels in browser.page.evaluate(TOO_WIDE, list(FONTS)).items():
                    widths[name, font] = pixels
        return seen, widths

    seen, widths = browse(root, work)
    assert {name: visit.errors for name, (visit, _, _) in seen.items() if visit.errors} == {}
    assert {name: visit.status for name, (visit, _, _) in seen.items() if visit.status != 200} == {}
    assert {name: unseen for name, (_, unseen, _) in seen.items() if unseen} == {}
    assert [name for name, (_, _, lists) in seen.items() if name.endswith(" list") and not lists] == []
    assert {name: pixels for name, pixels in widths.items() if max(pixels) > 0 or len(pixels) < 2} == {}


def test_actions_work_by_mouse(browse, root, rows, live_server):
    run = AgentExecution.objects.create(agent_name="echo", status=Status.PENDING, input_prompt="stop me")
    path = reverse("admin:pgknowbase_agents_agentexecution_change", args=[run.pk])

    def press(browser):
        browser.visit(live_server.url + path)
        browser.page.get_by_role("button", name="Cancel").click()
        browser.page.wait_for_load_state("load")
        return browser.page.content(), list(browser.errors)

    content, errors = browse(root, press)
    assert "1 cancelled." in content
    assert errors == []
    run.refresh_from_db()
    assert run.status == Status.CANCELLED


def test_knowledge_page_by_keyboard(browse, root, rows, live_server):
    bread = Article.objects.get(title="Sourdough bread")
    address = f"{live_server.url}{reverse('admin:pgknowbase_knowledge')}"
    asked = urlencode({"q": "repair my bicycle", "mode": "semantic", "limit": 3, "missing": f"blog.Article:{bread.pk}"})

    def work(browser):
        browser.visit(address)
        browser.page.get_by_label("Query").fill("bicycle")
        browser.page.keyboard.press("Enter")
        browser.page.wait_for_selector("mark")
        visit = browser.visit(f"{address}?{asked}")
        code = browser.page.locator(".pgknowbase-reason").first.get_attribute("data-code")
        browser.visit(f"{address}?{asked.replace('semantic', 'hybrid')}")
        picture(browser, "knowledge.png")
        return visit, code

    visit, code = browse(root, work)
    assert (visit.errors, code) == ([], "not_near")


def test_metrics_page(browse, root, rows, live_server):
    fill(40, start=3)
    for number, run in enumerate(AgentExecution.objects.all()):
        AgentExecution.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=number * 7 % 23))

    def work(browser):
        visit = browser.visit(live_server.url + reverse("admin:pgknowbase_agents_metrics"))
        boxes = [box.bounding_box() for box in browser.page.locator(".pgknowbase-chart svg").all()]
        picture(browser, "metrics.png")
        return visit, boxes

    visit, boxes = browse(root, work)
    assert visit.errors == []
    assert len(boxes) == 5
    assert all(box["width"] > 200 for box in boxes)


def picture(browser, name):
    if PICTURES:
        browser.page.locator("#content").screenshot(path=str(Path(PICTURES) / name))


def test_pictures_are_small():
    folder = Path(__file__).parents[3] / "docs" / "images"
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.png")}
    assert {"knowledge.png", "metrics.png"} <= set(sizes)
    assert all(size < 150_000 for size in sizes.values()), sizes
