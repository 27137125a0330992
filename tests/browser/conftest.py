"""A headless Chromium. It runs in a thread of its own: Playwright's event loop and the ORM do not share one."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


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
        page.on("console", lambda message: self._note(message) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message):
        self.errors.append(f"{message.text} ({message.location.get('url')})")

    def visit(self, url):
        self.errors.clear()
        response = self.page.goto(url, wait_until="load")
        return Visit(response.status, self.page.title(), list(self.errors))


@pytest.fixture
def browse(live_server):
    """Do something with a ``Browser``, in its thread: ``browse(client, lambda browser: ...)``."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    pool = ThreadPoolExecutor(max_workers=1)

    def run(client, do, **options):
        cookies = [
            {"name": name, "value": morsel.value, "url": live_server.url} for name, morsel in client.cookies.items()
        ]

        def work():
            with sync_api.sync_playwright() as playwright:
                chromium = playwright.chromium.launch(
                    executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
                )
                try:
                    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
                    context.add_cookies(cookies)
                    # Chromium asks every site for it; whether there is one is the project's business.
                    context.route("**/favicon.ico", lambda route: route.fulfill(status=204))
                    return do(Browser(context.new_page()))
                finally:
                    chromium.close()

        return pool.submit(work).result(timeout=300)

    yield run
    pool.shutdown()
