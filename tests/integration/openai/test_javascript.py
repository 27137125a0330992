"""OpenAI's client of JavaScript, from npm, against the project."""

from pathlib import Path

import pytest

from tests.integration.chat.conftest import ASKED
from tests.integration.openai.conftest import CHAT, token_of
from tests.node import needs_node, node
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)


@needs_node
def test_client(site, library, users, model, pages):
    model.answer = lambda body: "Weekly [1]."
    told = node(Path(__file__).with_name("usage.mjs"), f"{site}/v1", token_of(users["ann"]), ASKED)
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
