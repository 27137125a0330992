"""Where people search, in Chromium: the changelist of a source model, and a field that completes."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from pgknowbase.models import ExternalData
from pgknowbase.worker import Worker
from tests.acceptance.browser.test_admin import PICTURES, SCREENS, TEXTS
from tests.projects.blog.models import Article, Category, Note
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
        # The last letters are looked for while what was found by the first ones is shown.
        browser.page.locator(".select2-results .loading-results").wait_for(state="detached")
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


@pytest.fixture
def site(root):
    """The same texts as public notes, and ann's own article."""
    ann = User.objects.create_user("ann")
    Article.objects.filter(title="Growing tomatoes").update(author=ann)
    for title, body in TEXTS.items():
        Note.notes.create(text=f"{title}. {body} <b>Not bold</b> & safe.")
    Worker().run_until_idle()
    return root


PAGE = pytest.mark.urls("tests.integration.pages.site")


@PAGE
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_search_page(browse, client, site, live_server, width, scheme):
    """Under a strict Content-Security-Policy, without JavaScript, by keyboard."""
    client.logout()
    address = live_server.url + reverse("strict")

    def work(browser):
        seen = [browser.visit(address)]
        browser.page.keyboard.press("Tab")  # the first field is the query
        browser.page.keyboard.type("bicycle OR bread OR tomatoes")
        browser.page.keyboard.press("Enter")
        browser.page.wait_for_url("**q=bicycle*")
        screen(browser, f"search page, {width} {scheme}")
        if PICTURES and (width, scheme) == (1280, "light"):
            browser.page.screenshot(
                path=str(Path(PICTURES) / "search-page.png"), clip={"x": 240, "y": 0, "width": 800, "height": 640}
            )
        marks = browser.page.locator("mark").count()
        too_wide = browser.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.page.get_by_role("link", name="Next page").click()
        browser.page.wait_for_url("**page=2*")
        places = browser.page.get_by_role("list").get_attribute("start")
        errors = list(browser.errors)
        # The style that makes the focus seen would be refused by the policy.
        seen.append(browser.visit(f"{live_server.url}{reverse('pgknowbase_pages:search')}?q=bicycle"))
        return seen, marks, too_wide, places, browser.unseen_focus(), errors

    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    seen, marks, too_wide, places, unseen, errors = browse(client, work, **options)
    assert [visit.errors for visit in seen] == [[], []]
    assert marks > 0
    assert (too_wide, places, unseen) == (0, "4", [])
    assert errors == []


@PAGE
def test_search_page_without_javascript(browse, client, site, live_server):
    client.logout()

    def work(browser):
        browser.page.goto(f"{live_server.url}{reverse('pgknowbase_pages:search')}")
        browser.page.get_by_label("Search").fill("squeal")
        browser.page.get_by_role("button", name="Search").click()
        browser.page.wait_for_url("**q=squeal*")
        return browser.page.locator("h2").first.inner_text(), browser.page.locator("article").first.inner_text()

    heading, text = browse(client, work, java_script_enabled=False)
    assert heading.startswith("Brakes that squeal.")
    assert "<b>Not bold</b>" in text


@PAGE
def test_search_page_that_finds_nothing(browse, site, live_server):
    ExternalData.objects.all().delete()

    def work(browser):
        visit = browser.visit(f"{live_server.url}{reverse('strict')}?q=bicycle&model=blog.Note")
        screen(browser, "search page, nothing")
        found = browser.page.get_by_role("main").inner_text()
        refused = browser.page.goto(f"{live_server.url}{reverse('strict')}?q=bicycle&page=x")
        screen(browser, "search page, refused")
        return visit, found, refused.status, browser.page.get_by_role("alert").inner_text()

    visit, found, status, alert = browse(site, work)
    assert visit.errors == []
    assert "the index knows none of them: run 'manage.py sync_external_models'" in found
    assert "Search everything" in found
    assert (status, "Enter a whole number." in alert) == (400, True)


@PAGE
def test_a_form_with_a_field_that_completes(browse, client, site, live_server):
    client.force_login(User.objects.get(username="ann"))

    def work(browser):
        visit = browser.visit(live_server.url + reverse("reference"))
        browser.page.locator(".select2-selection").click()
        browser.page.locator(".select2-search__field").type("toma")
        option = browser.page.locator(".select2-results__option--highlighted", has_text="Growing tomatoes")
        option.wait_for()
        browser.page.locator(".select2-results .loading-results").wait_for(state="detached")
        option.wait_for()
        screen(browser, "form")
        found = browser.page.locator(".select2-results__option").all_inner_texts()
        option.click()
        browser.page.get_by_role("button", name="Send").click()
        browser.page.wait_for_url("**article=*")
        return visit.errors, found, browser.page.locator(".select2-selection__rendered").inner_text()

    errors, found, chosen = browse(client, work)
    assert (errors, found) == ([], ["Growing tomatoes"])
    assert "Growing tomatoes" in chosen
