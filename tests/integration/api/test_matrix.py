"""Who gets what from each route of the OpenAPI document, and attempts to act as somebody else or to send too much."""

import pytest
from django.contrib.auth import get_user_model

from pgknowbase.agents.models import AgentExecution, ApprovalRequest, WorkflowExecution
from pgknowbase.chat import ask, start
from pgknowbase.chat.models import ChatSession
from tests.integration.api.conftest import Asker, grant, problem, token_of
from tests.integration.api.test_orchestrator import agents, people  # noqa: F401

pytestmark = pytest.mark.django_db
QUERY = "near 1.0"

# narrow: a superuser's token for searches alone. ann: whose rows are asked for. plain: staff without a permission.
# staff: may view runs. keeper: may sync, see the status, change runs and decide.
TABLE = """
                | nobody | narrow | bob | ann | plain | staff | keeper | root
searchByUrl     | 200    | 200    | 200 | 200 | 200   | 200   | 200    | 200
search          | 200    | 200    | 200 | 200 | 200   | 200   | 200    | 200
facetsByUrl     | 200    | 200    | 200 | 200 | 200   | 200   | 200    | 200
facets          | 200    | 200    | 200 | 200 | 200   | 200   | 200    | 200
similar         | 404    | 200    | 404 | 200 | 404   | 404   | 404    | 200
similarToSeveral | 404   | 200    | 404 | 200 | 404   | 404   | 404    | 200
document        | 404    | 200    | 404 | 200 | 404   | 404   | 404    | 200
sync            | 401    | 403    | 403 | 403 | 403   | 403   | 200    | 200
syncBatch       | 401    | 403    | 403 | 403 | 403   | 403   | 200    | 200
costs           | 401    | 403    | 403 | 403 | 403   | 403   | 403    | 200
status          | 401    | 403    | 403 | 403 | 403   | 403   | 200    | 200
listAgents      | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
runAgent        | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
listExecutions  | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
execution       | 401    | 403    | 404 | 200 | 404   | 200   | 200    | 200
cancelExecution | 401    | 403    | 404 | 202 | 404   | 403   | 202    | 202
retryExecution  | 401    | 403    | 404 | 202 | 404   | 403   | 202    | 202
executeWorkflow | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
listWorkflows   | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
workflow        | 401    | 403    | 404 | 200 | 404   | 200   | 404    | 200
listDefinedWorkflows | 401 | 403 | 200 | 200 | 200 | 200  | 200    | 200
cancelWorkflow  | 401    | 403    | 404 | 202 | 404   | 403   | 404    | 202
resumeWorkflow  | 401    | 403    | 404 | 202 | 404   | 403   | 404    | 202
listApprovals   | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
decideApproval  | 401    | 403    | 403 | 403 | 403   | 403   | 200    | 200
chatSessions    | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
startChat       | 401    | 403    | 201 | 201 | 201   | 201   | 201    | 201
chatSession     | 401    | 403    | 404 | 200 | 404   | 404   | 404    | 404
deleteChat      | 401    | 403    | 404 | 204 | 404   | 404   | 404    | 404
chatMessages    | 401    | 403    | 404 | 200 | 404   | 404   | 404    | 404
askChat         | 401    | 403    | 404 | 200 | 404   | 404   | 404    | 404
streamChat      | 401    | 403    | 404 | 200 | 404   | 404   | 404    | 404
chatCitation    | 401    | 403    | 404 | 200 | 404   | 404   | 404    | 404
chatByVercelAI  | 401    | 403    | 404 | 200 | 404   | 404   | 404    | 404
chatByAGUI      | 401    | 403    | 404 | 200 | 404   | 404   | 404    | 404
chatHistoryForVercelAI | 401 | 403 | 404 | 200 | 404  | 404   | 404    | 404
chatHistoryForAGUI | 401 | 403    | 404 | 200 | 404   | 404   | 404    | 404
agentByVercelAI | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
agentByAGUI     | 401    | 403    | 200 | 200 | 200   | 200   | 200    | 200
"""
HEAD, *LINES = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip("\n").splitlines()]
EXPECTED = {name: dict(zip(HEAD[1:], map(int, cells), strict=True)) for name, *cells in LINES}


@pytest.fixture
def routes(client):
    """Method, path and description of each operation that the document has."""
    paths = client.get("/api/openapi.json").json()["paths"]
    return {told["operationId"]: (method, path, told) for path, ways in paths.items() for method, told in ways.items()}


@pytest.fixture
def things(library, users):
    """Makes rows of ann's to ask for: by the name of the parameter, or of the operation that ends or changes them."""
    article = library["ann's"]

    cited = ask(start(users["ann"]), QUERY)

    def make():
        own = {"agent_name": "careful", "user": users["ann"], "input_prompt": "x"}
        waits = AgentExecution.objects.create(**own)
        asked = ApprovalRequest.objects.create(execution=waits, tool_name="delete", tool_call_id="1")
        workflow = WorkflowExecution.objects.create(workflow_name="w", user=users["ann"], pattern="sequential")
        session = start(users["ann"])
        answer = session.messages.create(role="assistant", content=cited.content, citations=cited.citations)
        return {
            "agent_name": "parrot",
            "execution_id": waits.pk,
            "retryExecution": AgentExecution.objects.create(**{**own, "agent_name": "parrot"}, status="FAILED").pk,
            "approval_id": asked.pk,
            "workflow_id": workflow.pk,
            "session_id": session.pk,
            "message_id": answer.pk,
            "number": 1,
            "row": {"model": "blog.Article", "key": article.pk},
        }

    return make


MESSAGE = {"id": "m", "role": "user", "parts": [{"type": "text", "text": QUERY}]}
VERCEL_AI = {"trigger": "submit-message", "id": "c", "messages": [MESSAGE]}
AG_UI = {
    **{"threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {}},
    "messages": [{"id": "m", "role": "user", "content": QUERY}],
}


def body_of(name, made):
    model, key = made["row"].values()
    return {
        **dict.fromkeys(("chatByVercelAI", "agentByVercelAI"), VERCEL_AI),
        **dict.fromkeys(("chatByAGUI", "agentByAGUI"), AG_UI),
        "search": {"query": QUERY},
        "facets": {"facets": ["tags"]},
        "similarToSeveral": {"ids": [f"{model}:{key}"]},
        "sync": {"model_name": model, "model_id": key},
        "syncBatch": {"model_name": model, "model_ids": [key]},
        "runAgent": {"prompt": "x"},
        "executeWorkflow": {"pattern": "sequential", "agents": ["parrot"], "prompt": "x"},
        "decideApproval": {"approve": True},
        "startChat": {"title": "x"},
        "askChat": {"question": QUERY},
        "streamChat": {"question": QUERY},
    }.get(name, {})


def address(name, path, made):
    if name == "retryExecution":
        made = {**made, "execution_id": made[name]}
    return path.format(**made)


def send(asker, route, name, made, body=None):
    """One request; a good one, if no other body is given."""
    method, path, _ = route
    place = address(name, path, made)
    if method == "post":
        return asker.post(place, body_of(name, made) if body is None else body)
    if method == "delete":
        return asker.client.delete(place, headers=asker.headers)
    asked = {"searchByUrl": {"query": QUERY}, "facetsByUrl": {"facets": ["tags"]}}
    return asker.get(place, **asked.get(name, made["row"] if name in ("similar", "document") else {}))


def test_each_route_has_an_expectation(routes):
    assert set(routes) == set(EXPECTED)


def test_roles_by_routes(routes, things, people, users):  # noqa: F811
    people["plain"] = Asker.session(get_user_model().objects.create_user("plain", is_staff=True))
    found = {name: {} for name in EXPECTED}
    for name, cells in found.items():
        for role in HEAD[1:]:
            response = send(people[role], routes[name], name, things())
            cells[role] = response.status_code
            if response.status_code >= 400:
                problem(response, response.status_code)
    assert found == EXPECTED


def test_routes_that_tell_of_no_login_are_those_that_nobody_may_ask(routes):
    public = {name for name, (*_, told) in routes.items() if {} in told.get("security", [{}])}
    assert public == {name for name, expected in EXPECTED.items() if expected["nobody"] != 401}


WITH_BODY = [name for name in EXPECTED if body_of(name, {"row": {"model": "", "key": 1}})]


def test_bodies_that_are_known_are_all_that_there_are(routes):
    required = {name for name, (*_, told) in routes.items() if "requestBody" in told}
    assert required == set(WITH_BODY)


def runs():
    return list(AgentExecution.objects.order_by("pk").values_list("pk", "status", "user_id"))


def test_nobody_acts_as_somebody_else(routes, things, users):
    ann = grant(users["ann"], "pgknowbase.change_externaldata", "pgknowbase_agents.change_approvalrequest")
    made, bob = things(), users["bob"].pk
    before = runs()
    for name in WITH_BODY:
        for more in ({"user_id": bob}, {"user": bob}, {"deps": {"user_id": bob}}, {"deps": {"user": bob}}):
            body = {**body_of(name, made), **more}
            for asker in (Asker.session(ann), Asker.token(token_of(ann))):
                response = send(asker, routes[name], name, made, body)
                assert response.status_code in (403, 422), (name, more, response.content)
    assert runs() == before
    assert not ChatSession.objects.filter(user=bob).exists()
    for name in WITH_BODY:  # it was for that alone that they were refused
        assert send(Asker.session(ann), routes[name], name, made).status_code < 300, name


def test_bodies_that_are_too_large_or_too_deep(routes, things, users, settings):
    made = things()
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {**settings.PGKNOWBASE["API"], "MAX_BODY_BYTES": 100_000}}
    askers = (Asker.nobody(), Asker.session(users["root"]), Asker.token(token_of(users["ann"])))
    for name in WITH_BODY:
        large = {**body_of(name, made), "more": "x" * 100_000}
        for asker in askers:
            problem(send(asker, routes[name], name, made, large), 413, "too-large")
            response = send(asker, routes[name], name, made, "[" * 90_000)
            problem(response, response.status_code)
            assert response.status_code in (400, 401), (name, response.content)
