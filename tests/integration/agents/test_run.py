"""Runs of one agent and their rows."""

import asyncio
import os
import threading
import time
from contextlib import contextmanager
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core import checks
from django.db import connection, connections, transaction
from django.db.models.signals import post_save, pre_save
from django.test import TestCase
from django.utils import timezone
from pydantic import BaseModel
from pydantic_ai import ModelRetry
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.usage import RequestUsage

from pgknowbase.agents import DjangoDeps, FunctionModel, RunContext, TestModel, registry
from pgknowbase.agents.models import AgentExecution, Status, ToolExecution
from pgknowbase.agents.runs.json_values import as_json
from pgknowbase.errors import AgentError, NoModelError, RunFailedError, RunTimeoutError
from pgknowbase.models import UsageEntry
from tests.integration.agents.conftest import make_agent, saying
from tests.projects.assistants.agents import AnalysisResult, content_analyzer

pytestmark = pytest.mark.django_db(transaction=True)
TEST = TestModel(custom_output_args={"summary": "good", "score": 0.9})


async def test_snippet_of_the_documentation(user, rf):
    request = rf.get("/")
    deps = DjangoDeps(user_id=user.id, request=request)
    result = await content_analyzer.run(prompt="Look at it", deps=deps, model=TEST)
    assert result.output == AnalysisResult(summary="good", score=0.9)
    assert result.execution_time > 0
    assert result.tokens_used > 0
    assert result.cost is None
    row = await AgentExecution.objects.aget(pk=result.execution_id)
    assert (row.status, row.agent_name, row.user_id) == (Status.COMPLETED, "content_analyzer", user.id)
    assert row.input_prompt == "Look at it"
    usage = await UsageEntry.objects.aget()
    assert (usage.kind, usage.tenant, usage.calls) == ("agent", str(user.id), row.requests)
    assert usage.tokens + usage.output_tokens == usage.unpriced_tokens == result.tokens_used
    assert usage.cost is None
    assert row.output_data == {"summary": "good", "score": 0.9}
    assert row.tokens_used == result.tokens_used
    assert row.messages
    assert row.model == "test:test"
    assert row.started_at <= row.completed_at
    call = await row.tools.aget()
    assert (call.tool_name, call.status) == ("get_user_content", "COMPLETED")
    assert call.result == "content_analyzer reads what ann wrote"


def test_sync_code(user):
    result = content_analyzer.run_sync("Look", deps=DjangoDeps.from_user(user), model=TEST)
    assert result.output.summary == "good"
    assert AgentExecution.objects.get().status == Status.COMPLETED


async def test_sync_run_in_async_code_says_what_to_do():
    with pytest.raises(AgentError, match=r"await agent\.run"):
        make_agent().run_sync("x", model=TestModel())


def test_row_is_running_and_committed_before_the_provider_is_asked(django_db_blocker):
    seen = []

    def look():
        with django_db_blocker.unblock():
            seen.extend(AgentExecution.objects.values_list("status", "input_prompt"))
            connections.close_all()

    def answer(messages, info):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return ModelResponse(parts=[TextPart("done")])

    with transaction.atomic():
        make_agent().run_sync("hello", model=FunctionModel(answer))
    assert seen == [("RUNNING", "hello")]


def test_row_outlives_a_rollback():
    with transaction.atomic():
        make_agent().run_sync("hello", model=TestModel())
        transaction.set_rollback(True)
    row = AgentExecution.objects.get()
    assert (row.status, row.output_data) == (Status.COMPLETED, "success (no tool calls)")


def test_tools_see_the_callers_transaction():
    agent = make_agent()

    @agent.tool_plain
    def count() -> int:
        """How many users."""
        return User.objects.count()

    with transaction.atomic():
        User.objects.create_user("not committed")
        agent.run_sync("x", model=TestModel())
    assert ToolExecution.objects.get().result == 1


def test_receivers_see_every_change_of_status():
    seen = []

    def receive(instance, created, **kwargs):
        seen.append((instance.status, created))

    post_save.connect(receive, sender=AgentExecution)
    try:
        make_agent().run_sync("x", model=TestModel())
        with pytest.raises(RunFailedError):
            make_agent().run_sync("x", model=saying(ValueError("broken")))
    finally:
        post_save.disconnect(receive, sender=AgentExecution)
    assert seen == [("RUNNING", True), ("COMPLETED", False), ("RUNNING", True), ("FAILED", False)]


def test_run_costs_four_statements_and_each_tool_call_two(django_assert_num_queries):
    plain, tooled = make_agent(), make_agent()
    tooled.tool_plain(lambda: "seen", name="look")
    plain.run_sync("x", model=TestModel())
    with django_assert_num_queries(4):  # budgets, INSERT, UPDATE, the ledger
        plain.run_sync("x", model=TestModel())
    with django_assert_num_queries(6):
        tooled.run_sync("x", model=TestModel())


@contextmanager
def received_by(receiver, model=AgentExecution, signal=post_save):
    signal.connect(receiver, sender=model)
    try:
        yield
    finally:
        assert signal.disconnect(receiver, sender=model)


@pytest.mark.parametrize("signal", [pre_save, post_save], ids=["pre_save", "post_save"])
@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED"])
@pytest.mark.parametrize("broken", [RuntimeError("not in this house"), None], ids=["raises", "database error"])
def test_a_receiver_that_fails_loses_nothing(signal, status, broken, caplog):
    seen = []

    def fail(instance, **kwargs):
        seen.append(instance.status)
        if instance.status != status:
            return
        if broken:
            raise broken
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column")

    with received_by(fail, signal=signal):
        result = make_agent().run_sync("x", model=TestModel(custom_output_text="paid for"))
    assert result.output == "paid for"
    row = AgentExecution.objects.get()
    assert (row.status, row.output_data) == ("COMPLETED", "paid for")
    assert seen == ["RUNNING", "COMPLETED"]
    name = "pre_save" if signal is pre_save else "post_save"
    assert row.error.startswith(f"A receiver of {name} (")
    assert ("RuntimeError: not in this house" if broken else "no_such_column") in row.error
    assert row.error.partition(" (")[0] in caplog.text


def test_notes_on_receivers_stay_beside_the_error_of_the_run():
    def fail(instance, **kwargs):
        raise RuntimeError("not in this house")

    with received_by(fail), pytest.raises(RunFailedError):
        make_agent().run_sync("x", model=saying(ValueError("broken")))
    error, note = AgentExecution.objects.get().error.splitlines()
    assert error == "ValueError: broken"
    assert "not in this house" in note


def test_a_receiver_gets_a_copy():
    def change(instance, **kwargs):
        instance.status, instance.output_data, instance.input_prompt = "FAILED", "forged", "forged"
        instance.messages.append("forged")

    with received_by(change), received_by(change, signal=pre_save):
        make_agent().run_sync("x", model=TestModel(custom_output_text="said"))
    row = AgentExecution.objects.get()
    assert (row.status, row.output_data, row.input_prompt) == ("COMPLETED", "said", "x")
    assert "forged" not in row.messages


def test_what_a_receiver_writes_is_kept(user):
    def write(instance, **kwargs):
        User.objects.create_user(f"saw {instance.status}")

    with received_by(write):
        make_agent().run_sync("x", model=TestModel())
    assert User.objects.filter(username__startswith="saw").count() == 2


@pytest.mark.parametrize("given", [True, False])
def test_an_async_receiver_reads_relations(user, given):
    names = []

    async def notify(instance, **kwargs):
        names.append(instance.user and instance.user.username)

    with received_by(notify):
        make_agent().run_sync("x", deps=DjangoDeps(user_id=user.pk if given else None), model=TestModel())
    assert names == [user.username if given else None] * 2
    assert AgentExecution.objects.get().error == ""


def test_receivers_of_tool_calls_lose_nothing(user):
    owners = []

    async def fail(instance, **kwargs):
        owners.append(instance.execution.agent_name)
        raise RuntimeError("not in this house")

    agent = make_agent()
    agent.tool_plain(lambda: "seen", name="look")
    with received_by(fail, model=ToolExecution):
        agent.run_sync("x", model=TestModel())
    call = ToolExecution.objects.get()
    assert (call.status, call.result, owners) == ("COMPLETED", "seen", [agent.name] * 2)
    assert "not in this house" in call.error


def test_what_others_change_meanwhile_is_kept():
    seen = []

    async def answer(messages, info):
        await AgentExecution.objects.aupdate(cancel_requested=True)
        return ModelResponse(parts=[TextPart("x")])

    def receive(instance, created, update_fields, **kwargs):
        seen.append((created, instance.output_data, "status" in (update_fields or ("status",))))

    post_save.connect(receive, sender=AgentExecution)
    try:
        make_agent().run_sync("x", model=FunctionModel(answer))
    finally:
        post_save.disconnect(receive, sender=AgentExecution)
    assert AgentExecution.objects.get().cancel_requested
    assert seen == [(True, None, True), (False, "x", True)]


def test_no_model_is_an_error_that_says_so(settings):
    with pytest.raises(NoModelError, match=r"'tester' has no model.*PGKNOWBASE\['AGENTS'\]\['MODEL'\]"):
        make_agent().run_sync("x")
    assert not AgentExecution.objects.exists()


@pytest.mark.parametrize("model", ["gpt-4o", "nowhere:gpt", "openai:"])
def test_bad_model_is_an_error_that_says_so(model):
    with pytest.raises(NoModelError, match=f"'{model}'"):
        make_agent(model=model).run_sync("x")
    assert AgentExecution.objects.get().status == Status.FAILED


def test_missing_key_names_the_variable(set_agents, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    set_agents(PROVIDERS={"mine": {"BASE_URL": "http://127.0.0.1:9/v1", "API_KEY_ENV": "MY_KEY"}})
    with pytest.raises(NoModelError, match="'MY_KEY', which is not set"):
        make_agent(model="mine:m").run_sync("x")


def test_failure_of_a_tool_is_kept_with_its_call_and_its_messages():
    agent = make_agent()

    @agent.tool_plain
    def explode() -> str:
        """Boom."""
        raise ValueError("no luck")

    with pytest.raises(RunFailedError, match="ValueError: no luck") as caught:
        agent.run_sync("x", model=TestModel())
    row = AgentExecution.objects.get(pk=caught.value.execution_id)
    assert (row.status, row.error) == (Status.FAILED, "ValueError: no luck")
    assert row.tokens_used > 0
    assert [each["kind"] for each in row.messages][:2] == ["request", "response"]
    assert row.completed_at
    call = row.tools.get()
    assert (call.status, call.error) == ("FAILED", "ValueError: no luck")


@pytest.mark.parametrize(
    ("arguments", "kept", "why"),
    [
        ({"limit": "many"}, {"limit": "many"}, "limit: Input should be a valid integer"),
        ('{"limit": ', {"INVALID_JSON": '{"limit": '}, "arguments: Invalid JSON"),
        ({"limit": 13}, {"limit": 13}, "13 brings bad luck"),
    ],
)
def test_call_with_wrong_arguments_is_kept_as_refused(arguments, kept, why):
    def lucky(ctx, limit):
        if limit == 13:
            raise ModelRetry("13 brings bad luck")

    agent, taken = make_agent(model=saying(("count", arguments), ("count", {"limit": 1}), "done"), max_retries=1), []

    @agent.tool_plain(args_validator=lucky)
    def count(limit: int) -> str:
        taken.append(limit)
        return "counted"

    result = agent.run_sync("x")
    assert (result.output, taken) == ("done", [1])
    refused, done = AgentExecution.objects.get().tools.all()
    assert (refused.status, refused.arguments) == ("REFUSED", kept)
    assert why in refused.error
    assert refused.completed_at
    assert (done.status, done.arguments) == ("COMPLETED", {"limit": 1})


async def test_timeout():
    async def slow(messages, info):
        await asyncio.sleep(30)

    agent = make_agent(timeout=0.05)
    with pytest.raises(RunTimeoutError) as caught:
        await agent.run("x", model=FunctionModel(slow))
    row = await AgentExecution.objects.aget(pk=caught.value.execution_id)
    assert row.status == Status.FAILED
    assert row.execution_time < 20


async def test_task_that_is_cancelled_leaves_a_cancelled_row():
    started = asyncio.Event()

    async def slow(messages, info):
        started.set()
        await asyncio.sleep(30)

    task = asyncio.create_task(make_agent().run("x", model=FunctionModel(slow)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await AgentExecution.objects.aget()).status == Status.CANCELLED


def test_price_that_is_known_and_price_that_is_not():
    def answer(messages, info):
        usage = RequestUsage(input_tokens=1_000_000, output_tokens=0)
        return ModelResponse(parts=[TextPart("x")], usage=usage, model_name="gpt-4o-mini", provider_name="openai")

    priced = make_agent().run_sync("x", model=FunctionModel(answer, model_name="gpt-4o-mini"))
    assert priced.cost == AgentExecution.objects.get(pk=priced.execution_id).cost
    unpriced = make_agent().run_sync("x", model=TestModel())
    assert unpriced.cost is AgentExecution.objects.get(pk=unpriced.execution_id).cost is None


def test_cost_is_unknown_as_soon_as_one_answer_has_no_price():
    from pgknowbase.agents.engine.results import _cost

    priced = ModelResponse(parts=[], usage=RequestUsage(cost=Decimal("0.5")))
    assert _cost([priced, priced]) == Decimal("1.0")
    assert _cost([priced, ModelResponse(parts=[], usage=RequestUsage())]) is None


def test_output_and_prompt_that_postgres_would_refuse():
    class Odd(BaseModel):
        text: str
        numbers: list[float]

    agent = make_agent(output_type=Odd)
    model = TestModel(custom_output_args={"text": "a\x00b", "numbers": [1.5]})
    agent.run_sync("p\x00q", model=model)
    row = AgentExecution.objects.get()
    assert row.input_prompt == "p\ufffdq"
    assert row.output_data == {"text": "a\ufffdb", "numbers": [1.5]}


@pytest.mark.parametrize("value", ["\ud800", {"\x00": 1}, float("nan"), object(), {1: {2}}, b"\xff"])
def test_anything_can_be_kept_as_json(value):
    call = ToolExecution(
        execution=AgentExecution.objects.create(agent_name="x", input_prompt=""),
        tool_name="t",
        tool_call_id="1",
        started_at=timezone.now(),
        result=as_json([value]),
    )
    call.save()
    assert ToolExecution.objects.get().result is not None


def test_history_goes_on():
    first = make_agent().run_sync("my name is Ann", model=TestModel())
    seen = []

    def answer(messages, info):
        seen.append(len(messages))
        return ModelResponse(parts=[TextPart("Ann")])

    second = make_agent().run_sync("who am I", model=FunctionModel(answer), message_history=first.messages)
    assert seen == [3]
    assert AgentExecution.objects.get(pk=second.execution_id).requests == 1


def test_instructions_and_validators_take_our_context():
    agent = make_agent()
    seen = []

    @agent.instructions
    def told(ctx: RunContext[DjangoDeps]) -> str:
        seen.append(ctx.agent_name)
        return "be brief"

    @agent.output_validator
    async def checked(ctx: RunContext[DjangoDeps], output: str) -> str:
        seen.append(ctx.agent_name)
        return output.upper()

    assert agent.run_sync("x", model=TestModel(custom_output_text="yes")).output == "YES"
    assert seen == ["tester", "tester"]


def test_permission_to_call_a_tool_may_be_denied():
    agent = make_agent(permissions={"danger": "deny"})
    ran, shown = [], []

    @agent.tool_plain
    def danger() -> str:
        """Do it."""
        ran.append(1)
        return "done"

    def answer(messages, info):
        shown.append([tool.name for tool in info.function_tools])
        return ModelResponse(parts=[TextPart("ok") if len(messages) > 1 else ToolCallPart("danger", {})])

    agent.run_sync("x", model=FunctionModel(answer))
    assert not ran
    assert shown[0] == []


def test_threads_do_not_share_a_loop_or_leak_connections(django_db_blocker):
    errors, done = [], []

    def work():
        with django_db_blocker.unblock():
            try:
                for _ in range(3):
                    done.append(make_agent().run_sync("x", model=TestModel()).execution_id)
            except Exception as error:  # noqa: BLE001
                errors.append(error)
            finally:
                connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert AgentExecution.objects.filter(pk__in=done, status=Status.COMPLETED).count() == 18
    deadline = time.monotonic() + 30
    while (left := open_connections()) > 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left <= 2


def open_connections():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_run_in_a_fork():
    make_agent().run_sync("before", model=TestModel())
    with transaction.atomic():
        make_agent().run_sync("starts the threads", model=TestModel())
    connections.close_all()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with transaction.atomic():
                make_agent().run_sync("in the fork", model=TestModel())
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert AgentExecution.objects.filter(status=Status.COMPLETED).count() == 3


async def test_many_at_once():
    results = await asyncio.gather(*(make_agent().run(f"n {n}", model=TestModel()) for n in range(40)))
    assert len({result.execution_id for result in results}) == 40
    assert await AgentExecution.objects.filter(status=Status.COMPLETED).acount() == 40


class InATestCase(TestCase):
    """Rows stay in the test's transaction."""

    def test_run(self):
        user = User.objects.create_user("bob")
        result = make_agent().run_sync("x", deps=DjangoDeps.from_user(user), model=TestModel())
        assert AgentExecution.objects.get(pk=result.execution_id).user == user
        with transaction.atomic():
            make_agent().run_sync("x", model=TestModel())
        assert AgentExecution.objects.count() == 2

    def test_nothing_is_left(self):
        assert AgentExecution.objects.count() == 0


def test_retries_of_an_invalid_answer_are_the_agents():
    asked = []

    async def wrong(messages, info):
        asked.append(1)
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"nothing": 1})])

    with pytest.raises(RunFailedError, match="retries"):
        make_agent(output_type=AnalysisResult, max_retries=3).run_sync("x", model=FunctionModel(wrong))
    assert len(asked) == 4


def test_a_tool_that_pydantic_ai_does_not_take(monkeypatch):
    agent = make_agent("wrong", model=TEST)

    @agent.tool_plain
    def look(at: threading.Lock) -> str:
        return "seen"

    monkeypatch.setitem(registry.agents, "wrong", agent)
    with pytest.raises(AgentError, match=r"Agent 'wrong' cannot be made: .* Correct its declaration"):
        agent.run_sync("x")
    assert not AgentExecution.objects.exists()
    found = checks.run_checks(tags=["pgknowbase"], include_deployment_checks=True)
    assert [(each.id, each.msg[:28]) for each in found] == [("pgknowbase.E070", "Agent 'wrong' cannot be made")]


@pytest.mark.parametrize("prompt", [None, 5, ["x", "y"], b"x"])
def test_prompt_that_is_no_text(prompt):
    with pytest.raises(AgentError, match="is not text"):
        make_agent().run_sync(prompt, model=TEST)
    assert not AgentExecution.objects.exists()
