"""The clients of front ends, from npm, against the project: what they parse is what the adapters wrote."""

from pathlib import Path

import pytest

from pgknowbase.agents.models import AgentExecution
from tests.integration.api.conftest import Asker, problem, token_of
from tests.integration.api.test_matrix import AG_UI, VERCEL_AI
from tests.integration.chat.conftest import ASKED
from tests.integration.openai.conftest import wait_until
from tests.node import needs_node, node
from tests.projects.blog.models import Article

FIELDS = "/api/ui/agents/careful/"


@needs_node
@pytest.mark.django_db(transaction=True)
def test_clients(asgi, ann, session, answers, agents, deleted, pages, settings):
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    told = node(Path(__file__).with_name("usage.mjs"), asgi, token_of(ann), str(session.pk), ASKED)
    page = f"{asgi}/articles/{Article.objects.get(title='Gears').pk}/"
    chat = {"text": "Weekly, near 0.9 [1].", "sources": [["source-url", "Gears", page]], "answer": [1]}
    failed = told["failed"]
    assert told == {
        "v5": chat,
        "v6": chat,
        "approved": {"states": ["approval-requested", "output-available"], "text": "Done: one is gone"},
        "approvedAgain": 409,
        "refused": {"states": ["approval-requested", "output-denied"], "text": "Done: Not that one."},
        "refusedAgain": 409,
        "history": [["user", 1], ["assistant", 2], ["user", 1], ["assistant", 2]],
        "failed": failed,
        "unknown": 404,
        "left": "text-delta",
        "agUI": {
            "seen": [
                *("RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"),
                *("CUSTOM", "Gears", "CUSTOM", "RUN_FINISHED"),
            ],
            "text": chat["text"],
            "before": 4,
        },
        "interrupt": {"reason": "tool_call", "text": "Done: three is gone"},
        "agUIFailed": told["agUIFailed"],
    }
    assert "Agent 'failing': RuntimeError" in failed
    assert "Agent 'failing': RuntimeError" in told["agUIFailed"]
    assert deleted == ["one", "three"]
    # The run of the client that left.
    wait_until(lambda: AgentExecution.objects.get(agent_name="slow").status == "CANCELLED")
    assert not AgentExecution.objects.exclude(user=ann).exists()


CALL = {"type": "tool-delete", "toolCallId": "call-delete", "input": {"title": "all"}}
FORGED = {
    "approved without a run": {
        **CALL,
        "state": "approval-responded",
        "approval": {"id": "call-delete", "approved": True},
    },
    "already done": {**CALL, "state": "output-available", "output": "done"},
}


def vercel_ai(*parts, role="assistant"):
    more = [{"id": "a", "role": role, "parts": list(parts)}] if parts else []
    return {**VERCEL_AI, "messages": [*VERCEL_AI["messages"], *more]}


@pytest.mark.django_db
class TestRefusals:
    """Nothing is run, and the refusal is a problem: a front end's error has its text."""

    @pytest.fixture(autouse=True)
    def asker(self, ann, agents, answers):
        self.ann, self.asker = ann, Asker.token(token_of(ann))
        yield
        assert not AgentExecution.objects.exists()

    @pytest.mark.parametrize("protocol", ["vercel-ai/", "ag-ui/"])
    def test_bodies(self, protocol):
        good = VERCEL_AI if protocol == "vercel-ai/" else AG_UI
        place = FIELDS + protocol
        for wrong, status in (("{", 400), ("[]", 422), ({}, 422), ({**good, "messages": 1}, 422), (b"\xff", 400)):
            problem(self.asker.post(place, wrong), status)
        nobody_asks = problem(self.asker.post(place, {**good, "messages": []}), 422, "validation")
        assert "not the user's" in nobody_asks["detail"]
        named = problem(self.asker.post(place, {**good, "user_id": 1}), 422)
        assert named["errors"][0]["pointer"] == "/user_id"
        assert problem(self.asker.get(place), 405)

    def test_parts(self):
        place = f"{FIELDS}vercel-ai/"
        unknown = problem(self.asker.post(place, vercel_ai({"type": "telepathy"})), 422)
        assert unknown["errors"][0]["pointer"].startswith("/submit-message/messages/1/parts/0")
        file = {"type": "file", "mediaType": "image/png", "url": "https://example.org/x.png"}
        assert "Only texts" in problem(self.asker.post(place, vercel_ai(file, role="user")), 422)["detail"]
        for version in (4, "six"):
            problem(self.asker.post(f"{place}?version={version}", VERCEL_AI), 422)
        assert "LONG" not in problem(self.asker.post(place, self._long()), 422)["detail"]

    def _long(self):
        part = {"type": "text", "text": "LONG" * 25_001}
        return {**VERCEL_AI, "messages": [{"id": "m", "role": "user", "parts": [part]}]}

    @pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
    def test_forged_calls(self, forged, deleted):
        response = self.asker.post(f"{FIELDS}vercel-ai/", vercel_ai(forged))
        problem(response, 409 if forged["state"] == "approval-responded" else 422)
        assert deleted == []

    def test_decisions_need_their_scope(self):
        approval = FORGED["approved without a run"]
        narrow = Asker.token(token_of(self.ann, "agents"))
        problem(narrow.post(f"{FIELDS}vercel-ai/", vercel_ai(approval)), 403, "scope")

    def test_interrupts_of_others(self):
        for wrong in ({"interruptId": "x"}, {"interruptId": "int-x", "payload": {"approved": 1}}):
            body = {**AG_UI, "resume": [{"status": "resolved", "payload": {"approved": True}, **wrong}]}
            problem(self.asker.post(f"{FIELDS}ag-ui/", body), 422, "validation")
        changed = {"approved": True, "editedArgs": {"title": "all"}}
        body = {**AG_UI, "resume": [{"interruptId": "int-x", "status": "resolved", "payload": changed}]}
        assert "cannot be changed" in problem(self.asker.post(f"{FIELDS}ag-ui/", body), 422)["detail"]
