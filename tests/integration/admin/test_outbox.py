"""The outbox in the admin."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from pgknowbase.models import Expansion, OutboxEvent
from tests.integration.admin.conftest import act_raw
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db
LIST = "admin:pgknowbase_outboxevent_changelist"
DETAIL = "admin:pgknowbase_outboxevent_change"


@pytest.fixture
def events(db):
    """One event of each kind, by operation, and one that no model of this project claims."""
    article = Article.objects.create(title="a")
    Article.objects.filter(pk=article.pk).update(title="b")
    note = Note.notes.create(text="n")
    Note.notes.filter(pk=note.pk).delete()
    OutboxEvent.objects.create(source="blog.Article", op="T", created_at=timezone.now() - timedelta(hours=3))
    OutboxEvent.objects.create(source="gone.Thing", object_keys=["<b>7</b>"], op="U")
    OutboxEvent.objects.create(source="blog.Category", object_keys=["1"], op="I", path="tags__pk")
    return list(OutboxEvent.objects.all())


def shown(client, **params):
    response = client.get(reverse(LIST), params)
    assert response.status_code == 200
    return [str(event) for event in response.context["cl"].result_list]


def test_list_with_every_kind_of_event(root, events):
    page = root.get(reverse(LIST)).content.decode()
    assert len(shown(root)) == 7
    assert "(the whole table)" in page
    assert "3 hours" in page.replace("\xa0", " ")
    assert "&lt;b&gt;7&lt;/b&gt;" in page
    assert page.count("unknown to this project") == 2
    assert shown(root)[0].startswith("insert blog.Article")


def test_empty_list(root):
    assert shown(root) == []


def test_filters_and_search(root, events):
    assert len(shown(root, source="blog.Article")) == 3
    assert len(shown(root, source="blog.Note")) == 2
    assert shown(root, source="-") == ["update gone.Thing <b>7</b>", "insert blog.Category tags__pk=1"]
    assert shown(root, op__exact="T") == ["truncate blog.Article (all)"]
    assert shown(root, q="<b>7</b>") == ["update gone.Thing <b>7</b>"]


def test_every_event_opens(root, events):
    for event in events:
        page = root.get(reverse(DETAIL, args=[event.pk])).content.decode()
        assert event.source in page
        assert 'name="_save"' not in page


def test_event_leads_to_its_object(root, work):
    article = Article.objects.create(title="<i>Rice</i>", body="b")
    work()
    Article.objects.filter(pk=article.pk).update(body="c")
    page = root.get(reverse(DETAIL, args=[OutboxEvent.objects.get().pk])).content.decode()
    url = reverse("admin:pgknowbase_externaldata_change", args=[article.external_data.pk])
    assert f'<a href="{url}"><span dir="auto">&lt;i&gt;Rice&lt;/i&gt;</span></a>' in page


def test_queries_do_not_grow_with_events(root):
    def queries(params=None):
        root.get(reverse(LIST), params)
        with CaptureQueriesContext(connection) as captured:
            root.get(reverse(LIST), params)
        return len(captured)

    for number in range(3):
        Article.objects.create(title=str(number))
    few = queries()
    for number in range(27):
        Note.notes.create(text=str(number))
    assert len(shown(root)) == 30
    assert queries() == few
    assert few <= 5


def test_read_only(root, events):
    pk = events[0].pk
    assert root.get(reverse("admin:pgknowbase_outboxevent_add")).status_code == 403
    assert root.get(reverse("admin:pgknowbase_outboxevent_delete", args=[pk])).status_code == 403
    assert root.post(reverse(DETAIL, args=[pk]), {"op": "D"}).status_code == 403
    root.post(reverse(LIST), {"action": "delete_selected", "_selected_action": pk, "index": 0, "post": "yes"})
    assert OutboxEvent.objects.filter(pk=pk).exists()


def test_permission_for_objects_is_none_for_events(client, staff, events):
    client.force_login(staff("view", "change", "delete"))
    assert client.get(reverse(LIST)).status_code == 403
    assert act_raw(client, "resync").status_code == 200


def test_expansions(root):
    some = Expansion.objects.create(source="shapes.Essay", path="writer__pk", object_keys=["1", "<i>2</i>"], after="7")
    every = Expansion.objects.create(source="gone.Thing", path="")
    page = root.get(reverse("admin:pgknowbase_expansion_changelist")).content.decode()
    assert "1, &lt;i&gt;2&lt;/i&gt;" in page
    assert "(all)" in page
    assert page.count("unknown to this project") == 1
    for expansion in (some, every):
        page = root.get(reverse("admin:pgknowbase_expansion_change", args=[expansion.pk])).content.decode()
        assert expansion.source in page


def test_search_of_one_key_among_many(root, db):
    notes = Note.notes.bulk_create([Note(text=str(number)) for number in range(3)])
    assert OutboxEvent.objects.count() == 1
    assert len(shown(root, q=str(notes[1].pk))) == 1
    assert shown(root, q="{x,") == []
