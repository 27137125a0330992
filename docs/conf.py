"""The documentation as a site: ``make docs`` writes it to build/site. Sphinx reads this file.

The pages are those that GitHub shows. What only a site has is made here: its navigation, from the lists of
index.md, and the reference of python.rst, from the docstrings.
"""

import re

import django
from django.conf import settings
from sphinx.application import Sphinx

from pgknowbase import __version__ as release

APPS = ["pgknowbase", "pgknowbase.agents", "pgknowbase.api", "pgknowbase.chat"]
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.postgres",
        "pgtrigger",
        *APPS,
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "docs"}},
    PGKNOWBASE={},
    SECRET_KEY="the site has no secrets",  # noqa: S106
    USE_TZ=True,
)
django.setup()

project = "pgknowbase"
author = "the pgknowbase authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"pgknowbase {release}"
html_copy_source = False
exclude_patterns = ["__pycache__"]
# Anchors as GitHub makes them, and a link to none is an error.
myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
napoleon_google_docstring = True
napoleon_use_ivar = True
autodoc_typehints = "description"
autodoc_member_order = "bysource"
# The class and its attributes would be described twice.
autodoc_class_signature = "separated"

GROUP = re.compile(r"^## (.+)\n((?:(?!^## ).*\n?)*)", re.MULTILINE)
PAGE = re.compile(r"\]\(([\w-]+)\.(?:md|rst)\)")


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Append a hidden table of contents for each section of index.md, with the pages that it lists."""
    if name != "index":
        return
    for title, body in GROUP.findall(source[0]):
        pages = dict.fromkeys(PAGE.findall(body))
        source[0] += "\n".join(["\n\n```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```\n"])


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("source-read", add_navigation)
