"""The blocks of code on a page of docs/, in their order: a test takes each, and runs it."""

import ast
import inspect
import re
from pathlib import Path

from asgiref.sync import async_to_sync
from django.apps import apps
from django.urls import URLPattern, include, path

ROOT = Path(__file__).parents[3]
# A fence without a language holds what a program prints, or the signature of something.
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The examples of one page that are still to be run."""

    def __init__(self, name):
        self.path = ROOT / name
        self.text = self.path.read_text(encoding="utf-8")
        self.left = list(BLOCK.finditer(self.text))

    def take(self, language):
        """The code of the next block, as it stands."""
        block = self.left.pop(0)
        assert block["language"] == language, f"{self.path.name}: {block['code']}"
        return block["code"]

    def run(self, names, **more):
        """Run the next block, which is Python, on these names: its own are added. It may await."""
        line = self.text.count("\n", 0, self.left[0].start())
        code = "\n" * (line + 1) + self.take("python")
        names.update(more)
        compiled = compile(code, str(self.path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if compiled.co_flags & inspect.CO_COROUTINE:
            async_to_sync(_awaited)(compiled, names)
        else:
            exec(compiled, names)
        return names

    def entry(self):
        """The next block, which is an entry of a dictionary of settings."""
        return eval(f"{{{self.take('python')}}}")


def installed(page):
    """Run the next block, which adds apps and routes; the project of the tests has them."""
    names = page.run({"INSTALLED_APPS": [], "urlpatterns": [], "include": include, "path": path})
    assert all(apps.is_installed(name) for name in names["INSTALLED_APPS"])
    for pattern in names["urlpatterns"]:
        assert isinstance(pattern, URLPattern) or pattern.url_patterns
    return names


async def _awaited(compiled, names):
    await eval(compiled, names)
