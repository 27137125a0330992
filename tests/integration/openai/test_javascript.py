"""OpenAI's client of JavaScript, from npm, against the project."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.chat.conftest import ASKED
from tests.integration.openai.conftest import CHAT, token_of
from tests.projects.blog.models import Article

ROOT = Path(__file__).parents[3]
CLIENT = "openai@7.59.0"

pytestmark = pytest.mark.django_db(transaction=True)
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed")


@pytest.fixture(scope="session")
def javascript():
    """A folder with the client, kept in build/ from run to run, and the program that uses it."""
    directory = ROOT / "build" / "javascript" / CLIENT
    if not (directory / "node_modules" / "openai").exists():
        directory.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", directory, CLIENT]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    shutil.copy(Path(__file__).with_name("usage.mjs"), directory)
    return directory


@needs_node
def test_client(javascript, site, library, users, model, pages):
    model.answer = lambda body: "Weekly [1]."
    command = ["node", "usage.mjs", f"{site}/v1", token_of(users["ann"]), ASKED]
    done = subprocess.run(command, cwd=javascript, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {
        "models": [CHAT, *told["models"][1:]],
        "content": "Weekly [1].",
        "cited": [["[1]", f"{site}/articles/{Article.objects.get(title='Gears').pk}/"]],
        "streamed": "Weekly [1].",
        "same": True,
        "tokens": [told["tokens"][0]] * 2,
        "lengths": [256, 256],
        "first": 0.5,
        "refused": [
            ["NotFoundError", 404, "model_not_found", "model"],
            ["BadRequestError", 400, "invalid_value", "temperature"],
            ["AuthenticationError", 401, "invalid_api_key"],
        ],
    }
    assert told["tokens"][0] > 0
