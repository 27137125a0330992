"""Who gets what from each route of the OpenAPI document, and generated requests."""

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from tests.fakes import hashed
from tests.integration.api.conftest import Asker
from tests.integration.api.test_orchestrator import agents  # noqa: F401
from tests.integration.api.test_schemathesis import CHECKS, EXAMPLES
from tests.integration.chat.conftest import ASKED
from tests.integration.openai.conftest import CHAT, said, token_of

pytestmark = pytest.mark.django_db(transaction=True)

# Tokens of ann's, by their scope; session: ann in a browser, who has no token.
TABLE = """
                          | nobody | session | search | chat | agents | all
listModels                | 401    | 401     | 200    | 200  | 200    | 200
retrieveModel             | 401    | 401     | 404    | 200  | 404    | 200
createChatCompletion      | 401    | 401     | 403    | 200  | 403    | 200
createEmbedding           | 401    | 401     | 200    | 403  | 403    | 200
"""
HEAD, *LINES = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip("\n").splitlines()]
EXPECTED = {name: dict(zip(HEAD[1:], map(int, cells), strict=True)) for name, *cells in LINES}
BODIES = {
    "createChatCompletion": {"model": CHAT, "messages": [said(ASKED)]},
    "createEmbedding": {"model": "default", "input": "near 0.5"},
}


def test_roles_by_routes(library, users):
    paths = Client().get("/v1/openapi.json").json()["paths"]
    routes = {told["operationId"]: (method, path) for path, ways in paths.items() for method, told in ways.items()}
    assert routes.keys() == EXPECTED.keys()
    people = {"nobody": Asker.nobody(), "session": Asker.session(users["ann"])}
    people |= {scope: Asker.token(token_of(users["ann"], scope)) for scope in ("search", "chat", "agents")}
    people["all"] = Asker.token(token_of(users["ann"]))
    found = {name: {} for name in EXPECTED}
    for name, cells in found.items():
        method, path = routes[name]
        for role in HEAD[1:]:
            place = path.format(model=CHAT)
            response = people[role].get(place) if method == "get" else people[role].post(place, BODIES[name])
            cells[role] = response.status_code
            if response.status_code >= 400:
                assert response.json()["error"]["message"], (name, role)
    assert found == EXPECTED


def test_no_request_breaks_it(library, provider, users, live_server, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": None}  # a busy machine is not a fault of a request
    provider.vector = hashed
    secret = token_of(users["ann"])
    schema = schemathesis.openapi.from_url(f"{live_server.url}/v1/openapi.json")
    answered = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @hypothesis_settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def run(case):
            if isinstance(case.body, dict) and "model" in case.body and len(str(case.body)) % 2:
                case.body["model"] = "default" if "input" in case.body else CHAT
            response = case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=CHECKS)
            if response.status_code == 200:
                answered.add(case.operation.definition.raw["operationId"])

        run()
    # The generated requests came further than the doors.
    assert answered >= {"listModels", "createEmbedding"}
