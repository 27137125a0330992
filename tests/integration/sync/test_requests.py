"""A request to synchronise one object, carried out."""

import uuid

import pytest

from pgknowbase.errors import ConfigurationError, PgKnowbaseError
from pgknowbase.models import OutboxEvent
from pgknowbase.sync.requests import ExternalDataSyncRequest, run_sync_request
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_outbox(db):
    OutboxEvent.objects.all().delete()


def ask(model_name, model_id, *, wait=False, **options):
    return run_sync_request(ExternalDataSyncRequest(model_name=model_name, model_id=model_id, **options), wait=wait)


def test_way_of_one_object():
    article = Article.objects.create(title="t", body="b " * 600)
    answer = ask("blog.article", article.pk)
    assert (answer.success, answer.chunks_created, answer.message) == (True, 0, "New in the index.")
    assert answer.external_data_id == article.external_data.pk
    assert answer.processing_time > 0
    answer = ask("blog.Article", str(article.pk), wait=True)
    assert (answer.chunks_created, answer.message) == (3, "Nothing has changed; 3 chunks embedded.")
    assert ask("blog.Article", article.pk, wait=True).chunks_created == 0
    assert ask("blog.Article", article.pk, wait=True, force_update=True).chunks_created == 3
    answer = ask("blog.Article", article.pk, force_update=True)
    assert answer.message == "Nothing has changed; a worker embeds all its chunks anew."
    report = article.regenerate_external_data()
    assert (report.unchanged, report.requeued, report.embedded) == (1, 1, 0)
    assert article.regenerate_external_data(wait=True).embedded == 3
    key = article.pk
    article.delete()
    answer = ask("blog.Article", key)
    assert (answer.success, answer.message) == (True, "Removed from the index: no row has this key.")


def test_key_in_another_spelling():
    note = Note.notes.create(text="a")
    assert ask("blog.Note", str(note.pk).upper()).external_data_id == note.external_data.pk


def test_what_goes_wrong():
    note = Note.notes.create(text="explode")
    answer = ask("blog.Note", str(note.pk))
    assert not answer.success
    assert answer.message == "RuntimeError: told to explode (in get_external_content)"
    absent = ask("blog.Note", str(uuid.uuid4()))
    assert (absent.success, absent.external_data_id) == (False, None)
    assert absent.message == "No row has this key."
    kept_out = ask("blog.Note", str(Note.notes.create(text="").pk))
    assert (kept_out.success, kept_out.message) == (True, "Not in the index: its hooks keep it out.")
    with pytest.raises(ConfigurationError, match="is not a source model"):
        ask("blog.Category", 1)
    with pytest.raises(PgKnowbaseError, match=r"'x' is not a primary key of 'blog.Article'"):
        ask("blog.Article", "x")


@pytest.mark.parametrize("wrong", [{}, {"model_name": "", "model_id": 1}, {"model_name": "a", "model_id": 1, "x": 1}])
def test_request_is_checked(wrong):
    with pytest.raises(ValueError, match="validation error"):
        ExternalDataSyncRequest(**wrong)
