"""The documentation becomes a site, without one link that leads nowhere."""

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(pages, site):
    """Do what ``make docs`` does; the messages of Sphinx, and whether it was content."""
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment["PYTHONPATH"] = str(ROOT / "django_app")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(pages), str(site)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr, done.returncode == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    messages, built = build(ROOT / "docs", folder)
    assert built, messages
    return folder


def test_every_page_is_in_the_navigation(site):
    navigation = (site / "index.html").read_text().partition('<div class="sidebar-tree">')[2]
    linked = set(re.findall(r'class="reference internal" href="([\w-]+)\.html', navigation))
    assert linked >= {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    captions = re.findall(r'class="caption-text">([^<]+)<', navigation)
    assert captions[:5] == ["Tutorial", "How-to guides", "Operation", "Reference", "Explanation"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_each_page_is_there(site, page):
    """Sphinx writes some pages of its own, which would take the place of one with the same name."""
    title = page.read_text().partition("\n")[0].removeprefix("# ").replace("`", "")
    shown = html.unescape(re.search(r"<h1>(.*?)<a ", (site / f"{page.stem}.html").read_text(), re.DOTALL)[1])
    assert re.sub(r"<[^>]+>", "", shown).replace("\u2019", "'") == title


def test_reference_comes_from_the_docstrings(site):
    page = (site / "python.html").read_text()
    for name in ("mixins.ExternalDataMixin", "search.queryset.SemanticQuerySet.hybrid_search", "errors.SearchError"):
        assert f'id="pgknowbase.{name}"' in page
    assert "Base of every error that pgknowbase raises on purpose." in page


def test_search_knows_the_words_of_the_pages(site):
    assert '"outbox"' in (site / "searchindex.js").read_text()


def test_links_that_lead_nowhere_are_refused(tmp_path):
    pages = shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for page in pages.glob("*.md"):
        if page.name not in ("index.md", "glossary.md"):
            page.unlink()
    (pages / "python.rst").unlink()
    (pages / "index.md").write_text(
        "# Index\n\n## Reference\n\n- [Glossary](glossary.md)\n- [none](glossary.md#none)\n"
    )
    (pages / "glossary.md").write_text("# Glossary\n")
    messages, built = build(pages, tmp_path / "site")
    assert not built
    assert "'none'" in messages
