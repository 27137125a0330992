"""No page has an example that no test runs."""

import ast
from pathlib import Path

import pytest

from tests.acceptance.documentation.examples import ROOT, Page

HERE = Path(__file__).parent
# Pages whose examples other tests run.
ELSEWHERE = {
    "admin.md": "tests/integration/admin/test_docs.py",
    "scaling.md": "tests/integration/replicas/test_replicas.py",
    "search-pages.md": "tests/integration/pages/test_docs.py",
    "testing.md": "tests/reliability/test_testing_kit.py",
    "tutorial.md": "tests/acceptance/test_readme.py",
}
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if Page(path).left]


def pages_run_here():
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and "page" in [argument.arg for argument in node.args.args]:
                yield f"{node.name.removeprefix('test_').replace('_', '-')}.md"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_page_is_run(path):
    if elsewhere := ELSEWHERE.get(path.name):
        assert path.name in (ROOT / elsewhere).read_text()
    else:
        assert path.name in set(pages_run_here())
