"""A model whose ``get_external_queryset`` fails stops neither the worker nor the other models."""

import pytest

from pgknowbase.models import ExternalData, OutboxEvent
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)


def raises():
    raise RuntimeError("no rows today")


def fails_in_the_database():
    return Note._base_manager.extra(where=["no_such_column = 1"])


@pytest.mark.parametrize(("broken", "message"), [(raises, "no rows today"), (fails_in_the_database, "no_such_column")])
def test_recorded_on_its_objects_while_others_proceed(drain, monkeypatch, broken, message):
    Note.notes.create(text="calm")
    Article.objects.create(title="a", body="b")
    with monkeypatch.context() as patch:
        patch.setattr(Note, "get_external_queryset", broken)
        drain()
    assert not OutboxEvent.objects.exists()
    assert {one.source_model: one.status for one in ExternalData.objects.all()} == {
        Article: "completed",
        Note: "failed",
    }
    failed = ExternalData.objects.get(status="failed")
    assert message in failed.error
    ExternalData.objects.filter(pk=failed.pk).update(retry_at=failed.updated_at)
    drain()
    assert {one.status for one in ExternalData.objects.all()} == {"completed"}
