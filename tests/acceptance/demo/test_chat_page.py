"""The chat page in headless Chromium, by mouse and by keyboard, with a model and without."""

import json
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pydantic_ai.models
import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.urls import reverse

from demo.library.loading import load_records
from pgknowbase.testing import ChatProvider
from pgknowbase.testing.provider import Fault
from tests.acceptance.browser.conftest import CHROMIUM
from tests.acceptance.demo.test_demo_site import PYTHON
from tests.node import ROOT, needs_node, packages

pydantic_ai.models.ALLOW_MODEL_REQUESTS = True
QUESTION = "How is a compressed archive read line by line?"
PASSAGE = "Read a compressed archive line by line."

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("demo.urls"),
    # What Chromium's driver leaves open is not ours.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture
def user():
    return get_user_model().objects.create_superuser("demo")


@pytest.fixture
def indexed():
    load_records("python", PYTHON)
    call_command("pgknowbase_worker", once=True)


@pytest.fixture
def model(settings):
    with ChatProvider() as model:
        agents = {"PROVIDERS": {"local": model.settings()}, "MODEL": "local:any"}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
        yield model


@pytest.fixture(scope="module")
def chromium():
    """One for all tests of this file, in their thread."""
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's own event loop would keep Django from the database in this thread.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        # While that loop runs, this thread has other connections than after it, which would hold the database.
        connections.close_all()
        browser.close()


@pytest.fixture
def page(indexed, user, live_server, chromium):
    """The chat page in a browser, signed in."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    context.add_cookies([{"name": django_settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(live_server.url + reverse("library:chat"))
    yield page
    context.close()
    assert errors == []


def wait_answered(page):
    """Until the answer is there, or an error says why not."""
    page.wait_for_function(
        "document.querySelector('#state').textContent == 'Answered.' || document.querySelector('#error').textContent"
    )
    assert page.locator("#error").inner_text() == ""


def test_visitors_are_sent_to_the_login(db):
    response = Client().get(reverse("library:chat"))
    assert response.status_code == 302
    assert response.url.startswith(reverse("admin:login"))


@needs_chromium
def test_without_a_model_by_mouse(page):
    page.get_by_label("Question (Enter sends, Shift+Enter is a new line)").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    wait_answered(page)
    answer = page.get_by_role("article", name="Answer")
    assert "No language model is configured" in answer.inner_text()
    assert PASSAGE in answer.inner_text()
    answer.get_by_role("button", name="Source 1:").click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("mark").inner_text() == PASSAGE
    assert "zips.read" in dialog.get_by_role("heading").inner_text()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    page.reload()
    page.get_by_role("article", name="Answer").get_by_role("button", name="Source 1:").wait_for()
    page.get_by_role("button", name=QUESTION).wait_for()
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("article").first.wait_for(state="detached")


@needs_chromium
def test_with_a_model_by_keyboard(model, page):
    model.say("Line by line [1][9]. <img src=x onerror=alert(1)>")
    page.locator("#question:focus").wait_for()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    wait_answered(page)
    answer = page.get_by_role("article", name="Answer")
    text = answer.inner_text()
    assert "Line by line [1]" in " ".join(text.split())
    assert "<img src=x" in text
    assert answer.locator("img").count() == 0
    assert "Left out, for they name no passage: [9]." in text
    page.locator("#question:focus").wait_for()
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.className") == "cite":
            break
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Source 1: zips.read")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert dialog.locator("mark").inner_text() == PASSAGE
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.className") == "cite"


@needs_chromium
def test_the_focus_stays_with_who_has_moved_on(page):
    page.wait_for_load_state("networkidle")
    held = []
    page.route(
        "**/chat/sessions/", lambda route: held.append(route) if route.request.method == "GET" else route.continue_()
    )
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    wait_answered(page)
    page.get_by_role("button", name="New chat").focus()
    while not held:
        page.wait_for_timeout(20)
    held.pop().continue_()
    page.get_by_role("button", name=QUESTION).wait_for()
    page.wait_for_timeout(100)
    assert page.evaluate("document.activeElement.id") == "new"


@needs_chromium
def test_text_comes_in_pieces(model, page):
    model.say("word " * 2_500)
    page.evaluate(
        """() => {
            window.lengths = new Set();
            const note = () => lengths.add(document.getElementById("log").textContent.length);
            new MutationObserver(note).observe(document.getElementById("log"), {childList: true, subtree: true});
        }"""
    )
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    wait_answered(page)
    assert page.evaluate("lengths.size") > 5


@needs_chromium
def test_refusals_are_told(model, page, settings):
    agents = {**settings.PGKNOWBASE["AGENTS"], "BUDGET_PER_USER": {"RUNS": 0}}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("budget").wait_for()
    assert page.get_by_role("button", name="Ask").is_enabled()


@needs_chromium
def test_every_control_has_a_name(page):
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, textarea, a, dialog, [role]")].filter((each) =>
            !(each.getAttribute("aria-label") || each.getAttribute("aria-labelledby") || each.textContent.trim()
              || (each.labels && each.labels.length) || ["alert", "status"].includes(each.role))
        ).map((each) => each.outerHTML)"""
    )
    assert unnamed == []


@pytest.fixture
def react(settings):
    """The page of React's hooks, compiled from npm's packages into a folder of static files."""
    source = ROOT / "django_app" / "demo" / "frontend"
    with tempfile.TemporaryDirectory(dir=packages()) as parent:
        folder = Path(shutil.copytree(source, Path(parent) / "frontend"))
        command = shlex.split(json.loads((folder / "package.json").read_text())["scripts"]["build"])
        program = packages() / "node_modules" / ".bin" / command[0]
        subprocess.run([program, *command[1:]], cwd=folder, check=True, capture_output=True, timeout=300)
        settings.STATICFILES_DIRS = [folder.parent / "library" / "static"]
        yield


@needs_chromium
@needs_node
def test_react(model, react, page, live_server):
    page.goto(live_server.url + reverse("library:react-chat"))
    model.say("Line by line [1]. <img src=x onerror=alert(1)>")
    page.get_by_label("Question").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("[1] zips.read").wait_for()
    answer = page.get_by_role("region", name="assistant")
    assert "Line by line [1]. <img src=x" in answer.inner_text()
    assert answer.locator("img").count() == 0
    page.get_by_role("status").get_by_text("ready").wait_for()
    # What the server keeps comes back after a reload, with its sources; then the answer never ends, and is stopped.
    page.reload()
    page.get_by_text("[1] zips.read").wait_for()
    model.fail_always(Fault("good", seconds=600))
    page.get_by_label("Question").fill("And then?")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("status").get_by_text("ready").wait_for()
