"""What cannot be meant is refused at once, with an error that says what to do."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from pgknowbase.agents import DjangoDeps, SimpleOrchestrator, Step, TestModel
from pgknowbase.agents.approvals import decide
from pgknowbase.agents.background import resume_in_background, retry_execution, retry_workflow
from pgknowbase.agents.models import AgentExecution, WorkflowExecution
from pgknowbase.agents.runs.cancelling import cancel_execution, cancel_workflow
from pgknowbase.agents.workflows import Parallel
from pgknowbase.errors import AgentError, ApprovalError, WorkflowError
from tests.integration.agents.conftest import make_agent

pytestmark = pytest.mark.django_db
LONG = "x" * 201


@pytest.mark.parametrize("user_id", ["zz", "", 2**70, "9" * 30, float("inf"), [1], object(), "1\x00"])
def test_key_of_no_user(user_id):
    with pytest.raises(AgentError, match=r"is not a key of 'auth\.User': pass `user\.pk`"):
        DjangoDeps(user_id=user_id)


def test_key_of_a_user_may_be_text():
    assert [DjangoDeps(user_id=key).user_id for key in (None, 5, "5")] == [None, 5, "5"]


@pytest.mark.parametrize("key", [LONG, "a\x00", "\ud800", 5, None])
def test_idempotency_key_that_no_row_can_hold(key):
    with pytest.raises(AgentError, match=r"The idempotency_key .* cannot be kept: pass a str of 200"):
        make_agent(model=TestModel()).run_sync("x", idempotency_key=key)
    assert not AgentExecution.objects.exists()


@pytest.mark.parametrize("name", [LONG, "a\x00", 5])
def test_name_of_a_workflow_that_no_row_can_hold(name):
    orchestrator = SimpleOrchestrator()
    agent = make_agent(model=TestModel())
    with pytest.raises(WorkflowError, match=r"The name of a workflow .* cannot be kept"):
        orchestrator.execute_sync("sequential", [agent], prompt="x", name=name)
    with pytest.raises(WorkflowError, match=r"The name of a workflow .* cannot be kept"):
        orchestrator.define(name, Step(agent))
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize("given", ["zz", 5, "", None])
def test_id_that_is_none(given):
    for call in (cancel_execution, retry_execution, resume_in_background, make_agent(model=TestModel()).resume):
        with pytest.raises(AgentError, match="is not an id of a run: pass the UUID"):
            _done(call(given))
    for call in (cancel_workflow, retry_workflow):
        with pytest.raises(AgentError, match="is not an id of a workflow: pass the UUID"):
            call(given)
    with pytest.raises(WorkflowError, match="is not an id of a workflow"):
        SimpleOrchestrator().resume_sync(given)


def _done(call):
    """The result, also of a coroutine that ends without waiting."""
    if hasattr(call, "send"):
        call.send(None)


def test_id_as_text_is_taken():
    assert cancel_execution(str(uuid4())) is False
    with pytest.raises(WorkflowError, match="does not exist"):
        SimpleOrchestrator().resume_sync(str(uuid4()))


@pytest.mark.parametrize("given", ["zz", -1, None, True, 2**80, 5.5])
def test_decision_on_no_request(given):
    root = User.objects.create_superuser("root")
    with pytest.raises(ApprovalError, match=r"is not an id of a request: pass the number|does not exist"):
        decide(given, approve=True, by=root)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"toolsets": ["knowledge"]}, r"'knowledge' is not a tool set: pass one of .* as knowledge_tools\(\)"),
        ({"toolsets": [5]}, "5 is not a tool set"),
        ({"tools": [5]}, "5 is not a tool: pass a function"),
        ({"tools": ["search"]}, "'search' is not a tool: pass a function"),
    ],
)
def test_tools_that_are_none(options, said):
    with pytest.raises(AgentError, match=said):
        make_agent(**options)


@pytest.mark.parametrize("concurrency", [-2, 0, "2", 1.5])
def test_parts_that_let_nothing_run(concurrency):
    with pytest.raises(WorkflowError, match=r"concurrency .* is out of range: pass 1 or more"):
        Parallel(["a"], concurrency=concurrency)
    with pytest.raises(WorkflowError, match=r"concurrency .* is out of range: pass 1 or more"):
        SimpleOrchestrator().execute_sync("parallel", ["a"], prompt="x", concurrency=concurrency)
    with pytest.raises(WorkflowError, match=r"retries .* of 'a' is out of range: pass 0 or more"):
        Step("a", retries="2" if concurrency == 0 else concurrency)


async def test_sync_calls_in_async_code():
    with pytest.raises(AgentError, match=r"execute_sync\(\) was called in async code: use `await orchestrator\.exec"):
        SimpleOrchestrator().execute_sync("sequential", ["a"], prompt="x")
    with pytest.raises(AgentError, match=r"resume_sync\(\) was called in async code: use `await orchestrator\.resume"):
        SimpleOrchestrator().resume_sync(uuid4())
