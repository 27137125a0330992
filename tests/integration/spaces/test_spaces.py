"""The commands around a change of space, what they refuse, and what each leaves behind."""

import json

import pytest
from django.conf import settings
from django.core.management.base import CommandError
from django.test import override_settings

from pgknowbase.checks import check_database, check_settings
from pgknowbase.conf import get_settings
from pgknowbase.errors import PermanentEmbeddingError
from pgknowbase.models import EmbeddingSpace, ExternalData
from pgknowbase.operations.relevance.judgements import ndcg
from pgknowbase.relay.relay import Relay
from pgknowbase.testing.lexical import LexicalEmbedder
from pgknowbase.vectorizer.executor import Executor
from pgknowbase.vectorizer.runners import BackgroundSpaceRunner
from tests.integration.spaces.conftest import assert_space_in_sync, project, space, space_command, sql, stored, work
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)


def states():
    return sorted(ExternalData.objects.values_list("title", "status", "chunk_count"))


def test_names_and_options_of_a_new_space():
    space_command("add", "next")
    made = space("next")
    assert (made.dimensions, made.chunk_size, made.chunk_overlap, made.embedding) == (64, 300, 40, "small")
    space_command("add", "code", embedding="turned", chunk_size=400, template="$chunk", splitter="code")
    made = space("code")
    assert (made.backend, made.chunk_size, made.template, made.splitter, made.is_active) == (
        "tests.integration.spaces.embedders.Turned", 400, "$chunk", "code", False
    )  # fmt: skip
    assert EmbeddingSpace.objects.get(is_active=True).name == "default"
    for arguments, options, told in (
        (["add", "next"], {}, "already"),
        (["add", "Next one"], {}, "not a name of a space"),
        (["add", "x"], {"embedding": "nowhere"}, "'nowhere' is unknown"),
        (["add", "x"], {"splitter": "words"}, "recursive"),
        (["add", "x"], {"chunk_overlap": 900}, "CHUNK_OVERLAP must be smaller"),
        (["add"], {}, "arguments are required: name"),
        (["list", "x"], {}, "unrecognized arguments: x"),
        (["fill", "x"], {}, "There is no embedding space 'x'"),
        (["drop", "default"], {"yes": True}, "serves the searches"),
        (["rollback"], {}, "nothing to go back to"),
        (["compare", "default"], {}, "is the active one"),
    ):
        with pytest.raises(CommandError, match=told):
            space_command(*arguments, **options)
    space_command("drop", "code", yes=True)
    assert "next" in space_command("list")
    assert not EmbeddingSpace.objects.filter(name="code").exists()


def test_incomplete_space_is_refused_unless_forced():
    Article.objects.create(title="a", body="b")
    work()
    space_command("add", "next")
    with pytest.raises(CommandError, match="not complete: 1 documents"):
        space_command("activate", "next")
    space_command("activate", "next", force=True)
    assert states() == [("a", "pending", 0)]
    work()
    assert states() == [("a", "completed", 1)]
    sql(f'DELETE FROM "{space("default").store_table}"')
    with pytest.raises(CommandError, match="'default' is not complete"):
        space_command("rollback")


def test_status_is_that_of_the_active_space():
    """A text that one provider refuses is a dead letter only while that provider's space serves."""
    long = "A sentence that goes on for a while. " * 40
    Article.objects.create(title="long", body=long)
    Article.objects.create(title="refused", body="c")
    work()
    before = states()
    assert [one[1] for one in before] == ["completed", "completed"]
    space_command("add", "next")

    class Refusing(LexicalEmbedder):
        def embed_documents(self, texts):
            if any("refused" in text for text in texts):
                raise PermanentEmbeddingError("no such words")
            return super().embed_documents(texts)

    with Executor(space=space("next")) as executor:
        executor.embedder = Refusing(dimensions=64)
        while not executor.run_once().idle:
            assert states() == before
    assert states() == before
    with pytest.raises(CommandError, match="1 were refused"):
        space_command("activate", "next")
    space_command("activate", "next", force=True)
    after = states()
    assert after[0][1] == "completed"
    assert after[0][2] == len(next(chunks for (_, key), chunks in stored("next").items() if len(chunks) > 1))
    assert after[0][2] > before[0][2]
    assert after[1] == ("refused", "failed", 0)
    assert ExternalData.objects.get(title="refused").error == "no such words"
    space_command("rollback")
    assert states() == before


def test_fresh_rows_come_before_the_backfill_and_before_other_spaces():
    Article.objects.bulk_create([Article(title=f"old {n}", body="b") for n in range(5)])
    work()
    space_command("add", "next")
    Article.objects.create(title="fresh", body="b")
    Relay().run_once()
    with Executor(space=space("next"), batch_size=1) as executor:
        executor.run_once()
    assert [chunks[0][1] for chunks in stored("next").values()] == ["fresh\nTitle: fresh\n\nBody: b"]
    assert states()[0] == ("fresh", "pending", 0)


def test_space_without_embedder_is_left_alone(caplog):
    Article.objects.create(title="a", body="b")
    work()
    space_command("add", "next")
    with override_settings(PGKNOWBASE=project(EMBEDDINGS={"default": project()["EMBEDDINGS"]["default"]}, SPACES={})):
        work()
        assert "'next' is not filled by this worker" in caplog.text
        with pytest.raises(CommandError, match="'next' differs from the settings"):
            space_command("activate", "next", force=True)
    assert stored("next") == {}
    work()
    assert_space_in_sync("next")


def test_trouble_of_another_space_does_not_end_the_worker(monkeypatch):
    Article.objects.create(title="a", body="b")
    work()
    space_command("add", "next")

    def broken(found):
        made = Executor(space=found)
        made.embedder = LexicalEmbedder(dimensions=64)
        monkeypatch.setattr(made.embedder, "embed_documents", no_key)
        return made

    def no_key(texts):
        from pgknowbase.errors import ConfigurationError

        raise ConfigurationError("no key")

    with BackgroundSpaceRunner("default", broken) as runner:
        assert runner.run_once().idle
        assert runner.run_once().idle
    with BackgroundSpaceRunner("default", lambda found: Executor(space=found)) as runner:
        assert runner.run_once().written == 1
        space_command("drop", "next", yes=True)
        assert runner.run_once().idle


def test_compare(tmp_path):
    rows = Article.objects.bulk_create([Article(title=t, body=f"about {t}") for t in ("apples", "pears", "plums")])
    work()
    space_command("add", "next")
    told = json.loads(space_command("compare", "next", format="json"))
    assert (told["other"]["coverage"]["missing"], told["overlap"]) == (3, 0)
    space_command("fill", "next", here=True)
    queries, judgements = tmp_path / "queries.jsonl", tmp_path / "test.tsv"
    queries.write_text('{"_id": "q1", "text": "apples"}\n{"_id": "q2", "text": "plums"}\n')
    judgements.write_text(f"query-id\tcorpus-id\tscore\nq1\t{rows[0].pk}\t1\nq2\tblog.article:{rows[2].pk}\t2\n")
    options = {"queries": str(queries), "judgements": str(judgements)}
    told = json.loads(space_command("compare", "next", format="json", **options))
    assert (told["queries"], told["judged"], told["overlap"]) == (2, 2, 1)
    assert told["active"]["ndcg"] == told["other"]["ndcg"] == 1
    assert told["other"]["coverage"] | {"queued": 0} == told["active"]["coverage"]
    assert "ndcg@10" in space_command("compare", "next", **options)
    for text, said in (("", "contains no query"), ("{nonsense", "not a query")):
        queries.write_text(text)
        with pytest.raises(CommandError, match=said):
            space_command("compare", "next", queries=str(queries))


def test_ndcg_is_that_of_the_books():
    assert ndcg([3, 2, 3, 0, 1, 2], [3, 2, 3, 0, 1, 2]) == pytest.approx(0.9608, abs=1e-4)
    assert ndcg([0, 0], [1]) == 0
    assert ndcg([1], [1, 1]) == pytest.approx(1 / (1 + 0.63093), abs=1e-4)


def test_settings_describe_several_spaces():
    assert get_settings().space_name == "default"
    with override_settings(PGKNOWBASE=project(SPACE="next")):
        assert (get_settings().space.chunk_size, get_settings().space_name) == (300, "next")
        (error,) = check_database(databases=["default"])
        assert error.id == "pgknowbase.E020"
    assert check_database(databases=["default"]) == []
    with override_settings(PGKNOWBASE=project(SPACE="next", SPACES=project()["SPACES"] | {"default": {}})):
        assert check_database(databases=["default"]) == []
    for changes, told in (
        ({"SPACE": "nowhere"}, "names 'nowhere', which SPACES does not have"),
        ({"SPACES": {"x": {"EMBEDDING": "nowhere"}}}, "SPACES['x'] names the embedding 'nowhere'"),
        ({"SPACES": {"X y": {}}}, "as its name"),
        ({"SPACES": {"x": {"SPLITTER": "words"}}}, "SPACES.x.SPLITTER"),
    ):
        with override_settings(PGKNOWBASE=project(**changes)):
            (message,) = check_settings()
            assert message.id == "pgknowbase.E001"
            assert told in message.msg
    assert project() == settings.PGKNOWBASE
