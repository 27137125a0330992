"""Generated requests against a live server: no 500, and each answer is as the OpenAPI document says."""

from itertools import count

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from pgknowbase.agents import DjangoAgent, TestModel, registry
from pgknowbase.agents.models import AgentExecution, ApprovalRequest, WorkflowExecution
from tests.fakes import hashed
from tests.integration.api.conftest import token_of
from tests.integration.search.conftest import provider  # noqa: F401

EXAMPLES = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.mark.django_db(transaction=True)
def test_no_request_breaks_it(library, provider, users, live_server, monkeypatch):  # noqa: F811
    provider.vector = hashed
    secret = token_of(users["root"])
    schema = schemathesis.openapi.from_url(f"{live_server.url}/api/openapi.json")
    known, turns = _known(monkeypatch), count()
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        seen.add(operation.definition.raw["operationId"])

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def run(case):
            for name in known.keys() & case.path_parameters.keys():
                if next(turns) % 2:
                    case.path_parameters[name] = known[name]
            if isinstance(case.body, dict):
                case.body.pop("timeout", None)  # one that is too short is answered with 504, as it should be
            case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=CHECKS)

        run()
    assert seen == {
        *("searchByUrl", "search", "facetsByUrl", "facets", "similar", "similarToSeveral", "document"),
        *("sync", "syncBatch", "status", "costs"),
        *("listAgents", "runAgent", "listExecutions", "execution", "cancelExecution", "retryExecution"),
        *("chatSessions", "startChat", "chatSession", "deleteChat", "chatMessages", "askChat", "streamChat"),
        "chatCitation",
        *("chatByVercelAI", "chatByAGUI", "chatHistoryForVercelAI", "chatHistoryForAGUI"),
        *("agentByVercelAI", "agentByAGUI"),
        *("listDefinedWorkflows", "executeWorkflow", "listWorkflows", "workflow", "cancelWorkflow", "resumeWorkflow"),
        *("listApprovals", "decideApproval"),
    }
    # The generated requests came further than the doors.
    assert AgentExecution.objects.filter(status="COMPLETED").exists()


def _known(monkeypatch):
    """Path parameters of what there is: half of the requests get these."""
    monkeypatch.setattr(registry, "agents", registry.Registry("Agent"))
    DjangoAgent(name="parrot", model=TestModel(custom_output_text="polly"))
    ended = AgentExecution.objects.create(agent_name="parrot", input_prompt="x", status="FAILED")
    waits = AgentExecution.objects.create(agent_name="parrot", input_prompt="x")
    asked = ApprovalRequest.objects.create(execution=waits, tool_name="delete", tool_call_id="1")
    workflow = WorkflowExecution.objects.create(workflow_name="w", pattern="sequential")
    return {"agent_name": "parrot", "execution_id": ended.pk, "workflow_id": workflow.pk, "approval_id": asked.pk}
