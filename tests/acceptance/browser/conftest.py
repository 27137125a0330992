"""A headless Chromium. It runs in a thread of its own: Playwright's event loop and the ORM do not share one."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

# CHROMIUM names one that is not on the PATH.
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

UNSEEN = """() => {
    const look = (each) => {
        const seen = getComputedStyle(each);
        return [seen.outlineStyle, seen.outlineWidth, seen.boxShadow, seen.borderColor, seen.backgroundColor,
                seen.color, seen.textDecorationLine].join();
    };
    const reachable = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
        .filter((each) => each.tabIndex >= 0 && !each.disabled && each.checkVisibility() && each.type !== "hidden")
        .filter((each) => !each.closest("#nav-sidebar"))  // the same on all pages, and Django's
        .slice(0, 300);
    document.activeElement.blur();
    const before = reachable.map(look);
    return reachable.filter((each, place) => {
        each.focus();
        return document.activeElement === each && look(each) === before[place];
    }).map((each) => each.outerHTML.slice(0, 120));
}"""


@dataclass
class Visit:
    """What the browser said of one page."""

    status: int
    title: str
    errors: list[str] = field(default_factory=list)


class Browser:
    """Opens pages with the cookies of a signed-in client."""

    def __init__(self, page):
        self.page = page
        self.errors = []
        page.on("console", lambda message: self._note(message) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))
        page.on("response", lambda got: self.errors.append(f"{got.status} {got.url}") if got.status >= 400 else None)

    def _note(self, message):
        url = message.location.get("url")
        # Chromium asks every site for it; whether there is one is the project's business. It is not answered by a
        # route, as with one Chromium keeps no files, and fetches them again for each page.
        if not url.endswith("/favicon.ico"):
            self.errors.append(f"{message.text} ({url})")

    def unseen_focus(self):
        """What looks the same with the keyboard's focus as without."""
        self.page.add_style_tag(content="* { transition: none !important; }")
        self.page.keyboard.press("Tab")  # from here on the focus counts as the keyboard's
        return self.page.evaluate(UNSEEN)

    def visit(self, url):
        self.errors.clear()
        response = self.page.goto(url, wait_until="load")
        return Visit(response.status, self.page.title(), list(self.errors))


@pytest.fixture(scope="session")
def chromium():
    """One for all tests, and the thread that it lives in."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright import sync_api

    with ThreadPoolExecutor(max_workers=1) as pool:
        playwright = pool.submit(lambda: sync_api.sync_playwright().start()).result(timeout=120)
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]}
        browser = pool.submit(lambda: playwright.chromium.launch(**options)).result(timeout=120)
        yield pool, browser
        pool.submit(browser.close).result(timeout=60)
        pool.submit(playwright.stop).result(timeout=60)


@pytest.fixture
def browse(live_server, chromium):
    """Do something with a ``Browser``, in its thread: ``browse(client, lambda browser: ...)``."""
    pool, running = chromium

    def run(client, do, **options):
        cookies = [
            {"name": name, "value": morsel.value, "url": live_server.url} for name, morsel in client.cookies.items()
        ]

        def work():
            context = running.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            try:
                context.add_cookies(cookies)
                return do(Browser(context.new_page()))
            finally:
                context.close()

        return pool.submit(work).result(timeout=300)

    return run
