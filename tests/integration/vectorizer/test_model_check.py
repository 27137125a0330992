"""Another model behind the same name is noticed by what it answers to a fixed text; its vectors are not mixed in."""

import hashlib
import math
import shutil
from io import StringIO

import pytest
from django.core.management import call_command

from pgknowbase.embeddings import LocalEmbedder
from pgknowbase.errors import ModelChangedError
from pgknowbase.models import Chunk, EmbeddingSpace, ModelProbe, ProviderOutage
from pgknowbase.operations.doctor.examine import examine
from pgknowbase.vectorizer.model_check import PROBE, ModelCheck
from pgknowbase.vectorizer.runners import ActiveSpaceRunner
from tests.fakes import hashed
from tests.integration.vectorizer.trouble import another_executor, make_executor, queue, status, with_long_pauses, write

pytestmark = pytest.mark.django_db(transaction=True)


def serve(http, name):
    """The server loads a model; what it is called by its clients stays the same."""
    http.vectors(lambda position, text: list(hashed(f"{name}: {text}")))


@pytest.fixture
def executor(http, transactional_db):
    serve(http, "a")
    with make_executor(http, checks_model=True, max_texts=256) as made:
        with_long_pauses(made)
        yield made


def told():
    out = StringIO()
    call_command("pgknowbase_status", stdout=out)
    return out.getvalue()


def findings():
    return [finding for finding in examine("default") if finding.id == "space.model"]


def asked(http):
    return [[text.strip() for text in body["input"]] for body in http.bodies]


def make_due(executor):
    executor._model._due_at = executor._model._due_while_idle_at = 0.0


def test_asked_once_at_the_start_and_then_each_hour(http, executor):
    for _ in range(3):
        executor.run_once()
    assert asked(http) == [[PROBE]]
    write("one")
    executor.run_once()
    write("two")
    executor.run_once()
    assert asked(http) == [[PROBE], ["one"], ["two"]]
    make_due(executor)
    write("three")
    executor.run_once()
    assert asked(http)[3:] == [[PROBE], ["three"]]
    assert findings() == []


def test_another_model_fills_nothing_until_the_former_is_back(http, executor, caplog):
    (first,) = write("one")
    executor.run_once()
    serve(http, "b")
    (second,) = write("two")
    with another_executor(http, checks_model=True) as other:
        for _ in range(3):  # asked again after a minute
            with pytest.raises(ModelChangedError, match="Another model answers by the name of"):
                other.run_once()
        assert asked(http) == [[PROBE], ["one"], [PROBE]]
        assert [record.levelname for record in caplog.records if "Another model" in record.message] == ["ERROR"]
        assert (status(first)[0], status(second)[0]) == ("completed", "pending")
        assert "pgknowbase_space accept" in status(second)[1]
        assert [attempts for _, attempts, _ in queue()] == [0]
        (finding,) = findings()
        assert finding.severity == "error"
        assert "pgknowbase_space rebuild" in finding.fix[0]
        assert "another model answers" in told()
        serve(http, "a")
        make_due(other)
        assert other.run_once().written == 1
    assert status(second)[0] == "completed"
    assert findings() == []
    assert "another model answers" not in told()


def test_worker_that_notices_it_only_while_it_runs(http, executor):
    write("one")
    executor.run_once()
    serve(http, "b")
    make_due(executor)
    with pytest.raises(ModelChangedError):
        executor.run_once()  # nothing waits: the searches need to know as well
    assert len(findings()) == 1
    with ActiveSpaceRunner("default", lambda space: executor) as runner:
        assert runner.run_once().idle


def test_accepted_model_fills_the_space(http, executor):
    write("one")
    executor.run_once()
    serve(http, "b")
    write("two")
    make_due(executor)
    with pytest.raises(ModelChangedError):
        executor.run_once()
    call_command("pgknowbase_space", "accept", stdout=StringIO())
    assert findings() == []
    make_due(executor)
    assert executor.run_once().written == 1
    assert Chunk.objects.count() == 2


def test_kept_vectors_of_the_former_model_are_not_taken(http, executor):
    """The provider fails after the first of two calls, and another model is there when it answers again."""
    long = "\n\n".join("x " * 340 + str(n) for n in range(10))
    with another_executor(http, checks_model=True, max_texts=8) as first:
        with_long_pauses(first)
        write(long)
        good = http.answer
        http.answer = lambda body: good(body) if len(http.bodies) <= 2 else (429, {}, b"slow down")
        first.run_once()
    assert len(asked(http)[1]) == 8
    call_command("pgknowbase_space", "accept", stdout=StringIO())
    ProviderOutage.objects.all().delete()
    serve(http, "b")
    http.bodies.clear()
    assert executor.run_once().written == 1
    assert len(asked(http)[1]) == Chunk.objects.count()


@pytest.mark.parametrize("answer", [(503, {}, b"starting"), (402, {}, b"no credit"), (200, {}, b"{"), None])
def test_provider_that_does_not_answer_is_not_another_model(http, executor, answer):
    http.answer = lambda body: answer
    assert executor.run_once().idle
    assert not ProviderOutage.objects.exists()
    (note,) = write("one")
    batch = executor.run_once()
    assert (batch.claimed, batch.retried) == (1, 1)
    assert asked(http) == [[PROBE]] * 2
    assert ProviderOutage.objects.count() == 1
    assert [attempts for _, attempts, _ in queue()] == [0]
    serve(http, "a")
    executor.trouble.backoff._paused_until = 0
    while not executor.run_once().idle:
        pass
    assert status(note)[0] == "completed"
    assert not ProviderOutage.objects.exists()


def test_backend_without_a_vector_for_the_text_is_not_checked(http, executor):
    http.vectors(lambda position, text: [0.0] * 256 if text == PROBE else list(hashed(text)))
    (note,) = write("one")
    executor.run_once()
    assert status(note)[0] == "completed"
    assert not ModelProbe.objects.exists()


def test_numbers_that_differ_a_little_are_of_the_same_model(http, executor):
    executor.run_once()
    http.vectors(lambda position, text: [value + 3 * math.sin(i) for i, value in enumerate(hashed(f"a: {text}"))])
    make_due(executor)
    assert executor.run_once().idle


def test_what_a_dropped_space_had_is_taken_again_from_the_same_model_alone(http, executor):
    """A provider whose numbers differ a little from call to call is the same model."""
    write("one")
    executor.run_once()
    for name, calls in (("a", [[PROBE]]), ("b", [[PROBE], ["one"]])):
        call_command("pgknowbase_space", "rebuild", yes=True, stdout=StringIO())
        http.vectors(lambda position, text: [n + 0.5 for n in hashed(f"{name}: {text}")])  # noqa: B023
        http.bodies.clear()
        with another_executor(http, checks_model=True) as other:
            assert other.run_once().written == 1
        assert asked(http) == calls


def test_model_file_that_was_replaced(cache_dir, tmp_path, transactional_db):
    """The file of the local model is another one after a restart, whole and with its checksum."""
    space = EmbeddingSpace.objects.get(is_active=True)
    shutil.copytree(cache_dir, tmp_path / "cache")
    before = LocalEmbedder(cache_dir=tmp_path / "cache")
    ModelCheck("default", space).run(before)
    ModelCheck("default", space).run(LocalEmbedder(cache_dir=tmp_path / "cache"))
    replace(before.path)
    after = LocalEmbedder(cache_dir=tmp_path / "cache")
    with pytest.raises(ModelChangedError, match="with a cosine of"):
        ModelCheck("default", space).run(after)


def replace(path):
    """The same graph with the rows of one table in reverse."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path)
    table = next(one for one in graph.graph.initializer if one.dims and one.dims[0] > 20_000)
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table)[::-1].copy(), table.name))
    data = graph.SerializeToString()
    path.write_bytes(data)
    path.with_name(path.name + ".sha256").write_text(hashlib.sha256(data).hexdigest() + "\n")
