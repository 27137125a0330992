"""Names and pages use the words of docs/glossary.md, and none of those that it replaces."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "django_app" / "pgknowbase"
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
SQL_FILES = sorted((ROOT / "sql").rglob("*.sql"))
# "There is no active space" states that a thing is missing. "'x' is no model" is what the glossary rules out.
IS_NO = re.compile(r"(?<!here )(?<!that )\bis no\b(?! (?:longer|more)\b)")
NAME_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def replaced_words():
    """The left column of the table of words that are not used: words and phrases, in lower case."""
    table = GLOSSARY.partition("## Not these words")[2]
    rows = re.findall(r"^\| (.+?) \| .+ \|$", table, flags=re.MULTILINE)[1:]
    return sorted({word.strip() for row in rows for word in row.split(",") if '"' not in row})


WORDS = replaced_words()
IN_PROSE = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", flags=re.IGNORECASE)


def parts(name):
    """A name as words: ``OutboxFloor`` and ``outbox_floor`` are "outbox floor"."""
    return " ".join(part.lower() for part in NAME_PARTS.findall(name))


def names(tree):
    """The names that a module defines, with those of parameters."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name


def prose(source):
    """The comments and texts of a module: docstrings, error messages, descriptions."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}:
            yield token.start[0], token.string


def test_the_table_is_read():
    assert {"leg", "floor", "heart", "once more"} <= set(WORDS)
    assert [bool(IN_PROSE.search(text)) for text in ("the floor of", "the heartbeat of")] == [True, False]
    assert [bool(IS_NO.search(text)) for text in ("'x' is no model", "There is no model")] == [True, False]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_module(path):
    source = path.read_text(encoding="utf-8")
    found = [name for name in (path.stem, *names(ast.parse(source))) if IN_PROSE.search(parts(name))]
    texts = [f"{line}: {text}" for line, text in prose(source) if IN_PROSE.search(text) or IS_NO.search(text)]
    assert (found, texts) == ([], [])


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.relative_to(ROOT / "sql").as_posix())
def test_sql(path):
    text = path.read_text(encoding="utf-8")
    # floor() is a function of Postgres.
    found = [
        line for line in text.splitlines() if IN_PROSE.search(parts(line).replace("floor", "")) or IS_NO.search(line)
    ]
    assert not found
    assert not IN_PROSE.search(parts(path.stem))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page(path):
    text = path.read_text(encoding="utf-8")
    if path.name == "glossary.md":
        text = text.partition("## Not these words")[0]
    found = [line for line in text.splitlines() if IN_PROSE.search(line) or IS_NO.search(line)]
    assert not found
