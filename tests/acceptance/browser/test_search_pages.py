"""Where people search, in Chromium: the changelist of a source model, and a field that completes."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from pgknowbase.models import ExternalData
from pgknowbase.worker import Worker
from tests.acceptance.browser.test_admin import PICTURES, SCREENS, TEXTS
from tests.projects.blog.models import Article, Category
from tests.projects.press import models as press

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.integration.admin.newsdesk")]


@pytest.fixture
def root(client, transactional_db):
    user = User.objects.create_superuser("root")
    client.force_login(user)
    food, wheels = (Category.objects.create(name=name) for name in ("Food", "Wheels"))
    for number, (title, body) in enumerate(TEXTS.items()):
        Article.objects.create(
            title=title, body=body, author=user, views=10 * number, category=food if number > 2 else wheels
        )
        press.Article.objects.create(title=title, body=body)
    Worker().run_until_idle()
    return client


def screen(browser, name):
    if SCREENS:
        browser.page.screenshot(path=str(Path(SCREENS) / f"{name}.png"))


def test_changelist(browse, root, live_server):
    address = live_server.url + reverse("newsdesk:blog_article_changelist")

    def work(browser):
        browser.visit(address)
        browser.page.locator("#searchbar").fill("fixing a bike")
        browser.page.keyboard.press("Enter")
        browser.page.wait_for_url("**q=fixing*")
        first = browser.page.locator("#result_list tbody tr").first.inner_text()
        if PICTURES:
            browser.page.locator("#content").screenshot(path=str(Path(PICTURES) / "changelist.png"))
        screen(browser, "changelist")
        return first, list(browser.errors)

    first, errors = browse(root, work)
    assert "Repairing a bicycle" in first
    assert errors == []


def test_changelist_without_an_answer_of_the_index(browse, root, live_server):
    ExternalData.objects.update(similarity_threshold=1)

    def work(browser):
        visit = browser.visit(f"{live_server.url}{reverse('newsdesk:blog_article_changelist')}?q=icycl")
        screen(browser, "changelist, fallback")
        return browser.page.locator(".messagelist").inner_text(), visit.errors

    message, errors = browse(root, work)
    assert "title, body alone: nothing in the index matches." in message
    assert errors == []


def test_a_field_that_completes(browse, root, live_server):
    address = live_server.url + reverse("newsdesk:press_comment_add")

    def work(browser):
        browser.visit(address)
        browser.page.locator(".select2-selection").click()
        browser.page.locator(".select2-search__field").type("repairing a bic")
        option = browser.page.locator(".select2-results__option--highlighted", has_text="Repairing a bicycle")
        option.wait_for()
        screen(browser, "completion")
        found = browser.page.locator(".select2-results__option").all_inner_texts()
        option.click()
        return found, browser.page.locator(".select2-selection__rendered").inner_text(), list(browser.errors)

    found, chosen, errors = browse(root, work)
    assert found[0] == "Repairing a bicycle"
    assert "Repairing a bicycle" in chosen
    # The next key ends the request of the one before.
    assert [error for error in errors if not error.startswith("failed: ")] == []
