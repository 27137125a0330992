"""The actions on ``ExternalData`` do what they say, for whom they may, within their bounds."""

from dataclasses import replace

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pgknowbase.models import Chunk, Document, ExternalData, OutboxEvent
from pgknowbase.signals import external_data_removed
from pgknowbase.sync import selection
from tests.integration.admin.conftest import DETAIL, LIST, TITLES, act_raw, data_of
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db
ACTIONS = ["retry", "resync", "embed_anew", "remove"]


@pytest.fixture
def bounds(monkeypatch):
    """Set the bounds of one action."""
    model_admin = admin.site.get_model_admin(ExternalData)
    return lambda **values: monkeypatch.setattr(model_admin, "bounds", replace(model_admin.bounds, **values))


def mend(note_key):
    """Repair a note whose text explodes, unseen by the triggers, so that the action alone can notice."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE blog_note SET text = 'calm again' WHERE id = %s", [note_key])
    OutboxEvent.objects.all().delete()


def status(data):
    return ExternalData.objects.get(pk=data.pk).status


def test_retry_of_repaired_rows(root, act, states, work):
    for name in ("failed", "dead"):
        mend(states[name].object_key)
    told = act("retry", states["failed"], states["dead"])
    assert told == "Retried 2 objects (2 waiting to be embedded)."
    for name in ("failed", "dead"):
        data = ExternalData.objects.get(pk=states[name].pk)
        assert (data.status, data.error, data.attempts, data.retry_at) == ("pending", "", 0, None)
    work()
    assert status(states["failed"]) == status(states["dead"]) == "completed"
    assert Note.notes.semantic_search("calm again", threshold=-1)[0].matched_chunk.endswith("calm again")


def test_retry_that_fails_again_says_why(root, act, states):
    told = act("retry", states["dead"])
    assert "Retried 1 object (1 failed)." in told
    assert f"{states['dead'].object_key}: RuntimeError: told to explode (in get_external_content)" in told
    data = ExternalData.objects.get(pk=states["dead"].pk)
    assert (data.status, data.attempts) == ("failed", 9)


def test_retry_leaves_the_others_alone(root, act, states):
    mend(states["failed"].object_key)
    Article.objects.filter(title=TITLES["german"]).update(body="changed")
    told = act("retry", states["failed"], states["german"])
    assert told.startswith("Retried 1 object ")
    assert "changed" not in states["german"].content
    assert act("retry", states["german"]) == "None of the selected objects has failed: nothing was retried."


def test_retry_of_what_the_vectorizer_gave_up(root, act, states, work):
    ExternalData.objects.filter(pk=states["german"].pk).update(status="failed", error="the provider refused")
    assert act("retry", states["german"]) == "Retried 1 object (1 waiting to be embedded)."
    work()
    assert status(states["german"]) == "completed"


def test_resync_over_several_models(root, act, states, work):
    OutboxEvent.objects.all().delete()
    Article.objects.filter(title=TITLES["german"]).update(body="Neuer Text.")
    Article.objects.filter(title=TITLES["hindi"]).delete()
    Article.objects.filter(title=TITLES["arabic"]).update(year=1999, body="اقرأ الملف سطرا بسطر.")
    mend(states["failed"].object_key)
    chosen = [states[name] for name in ("german", "hindi", "hostile", "failed", "dead", "gone")]
    told = act("resync", *chosen)
    assert "Resynced 5 objects (2 waiting to be embedded, 1 unchanged, " in told
    assert "1 without a row to index, removed, 1 failed)." in told
    assert "1 object left alone: no source model of this project" in told
    assert "Neuer Text." in states["german"].content
    assert not ExternalData.objects.filter(pk=states["hindi"].pk).exists()
    assert not Chunk.objects.filter(source=states["hindi"].content_type_id, object_key=states["hindi"].object_key)


def test_embed_anew_makes_new_embeddings_of_the_same_text(root, act, states, work):
    work()
    before = set(states["german"].chunks.values_list("uuid", flat=True))
    text = states["german"].content
    told = act("embed_anew", states["german"], states["dead"])
    assert "Queued 1 object for new embeddings (1 failed)." in told
    assert work().embedded == 1
    after = set(states["german"].chunks.values_list("uuid", flat=True))
    assert len(after) == len(before)
    assert not after & before
    assert states["german"].content == text


def test_resync_of_unchanged_rows_embeds_nothing(root, act, states, work):
    work()
    assert act("resync", states["german"]) == "Resynced 1 object (1 unchanged)."
    assert work().embedded == 0


def test_removal_asks_first(root, states):
    response = act_raw(root, "remove", states["german"], states["gone"])
    assert "2 objects will be taken out of the index" in response.content.decode()
    assert ExternalData.objects.filter(pk=states["german"].pk).exists()


def test_removal(root, act, states):
    german, gone = states["german"], states["gone"]
    assert act("remove", german, gone, confirmed=1) == "Removed 2 objects."
    assert not ExternalData.objects.filter(pk__in=[german.pk, gone.pk]).exists()
    assert not Document.objects.filter(source=german.content_type_id, id=german.object_key).exists()
    assert not Chunk.objects.filter(source=german.content_type_id, object_key=german.object_key).exists()
    assert Article.objects.filter(title=TITLES["german"]).exists()
    assert ExternalData.objects.count() == len(states) - 2


def test_removal_is_signalled(root, act, states, caplog, django_capture_on_commit_callbacks):
    told = []

    def receiver(sender, object_key, **values):
        told.append((sender, object_key))

    external_data_removed.connect(receiver)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            act("remove", states["german"], states["gone"], confirmed=1)
    finally:
        external_data_removed.disconnect(receiver)
    assert told == [(Article, states["german"].object_key)]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert ExternalData.objects.count() == len(states) - 2


def test_removed_row_comes_back_with_its_next_change(root, act, states, work):
    act("remove", states["german"], confirmed=1)
    Article.objects.filter(title=TITLES["german"]).update(body="Neu.")
    work()
    assert data_of(Article.objects.get(title=TITLES["german"])).status == "completed"


def make_articles(count):
    Article.objects.bulk_create(Article(title=f"Article {number}", body="text") for number in range(count))


def test_across_thousands_in_batches(root, act, work):
    make_articles(2500)
    work()
    with connection.cursor() as cursor:  # as autovacuum does it, which does not see what is not committed
        cursor.execute("ANALYZE blog_article, pgknowbase_externaldata, pgknowbase_document, pgknowbase_outbox")
    with CaptureQueriesContext(connection) as captured:
        told = act("resync", ExternalData.objects.first(), select_across=1)
    assert told == "Resynced 2,500 objects (2,500 unchanged)."
    locks = [query for query in captured if "pgknowbase_lock_current_objects" in query["sql"]]
    assert len(locks) == 25
    assert act("remove", ExternalData.objects.first(), select_across=1, confirmed=1) == "Removed 2,500 objects."
    assert not ExternalData.objects.exists()


def test_across_a_filter_touches_what_passes_it(root, states):
    url = reverse(LIST) + "?retry=dead"
    data = {"action": "remove", "_selected_action": states["dead"].pk, "select_across": 1, "index": 0}
    page = root.post(url, data).content.decode()
    assert "1 object will be taken" in page
    root.post(url, {**data, "confirmed": 1})
    assert not ExternalData.objects.filter(pk=states["dead"].pk).exists()
    assert ExternalData.objects.count() == len(states) - 1


def test_bounded_in_objects(root, act, states, bounds):
    bounds(objects=2)
    told = act("resync", *states.values())
    assert "More is selected than one action may do." in told
    assert "2 objects" in told
    assert "2 objects will be" in act_raw(root, "remove", *states.values()).content.decode()
    act("remove", *states.values(), confirmed=1)
    assert ExternalData.objects.count() == len(states) - 2


def test_bounded_in_time(root, act, states, bounds):
    bounds(seconds=-1)
    told = act("resync", *states.values())
    assert told.startswith("Resynced 0 objects.")
    assert "More is selected" in told


def test_retry_repeated_reaches_every_failure(root, act, work, bounds):
    for number in range(5):
        Note.notes.create(text=f"explode {number}")
    work()
    bounds(objects=2)
    chosen = list(ExternalData.objects.all())
    before = {one.pk: one.attempts for one in chosen}
    for _ in range(3):
        act("retry", *chosen)
    assert all(one.attempts > before[one.pk] for one in ExternalData.objects.all())


def test_model_whose_rows_cannot_be_loaded_fails_alone(monkeypatch, root, act, states):
    def refuse():
        raise RuntimeError("no rows today")

    monkeypatch.setattr(Note, "get_external_queryset", refuse)
    told = act("resync", states["german"], states["dead"])
    assert "Resynced 2 objects (1 unchanged, 1 failed)." in told
    assert "RuntimeError: no rows today" in told


def test_many_failures_are_summed_up(root, act, work):
    for number in range(8):
        Note.notes.create(text=f"explode {number}")
    work()
    told = act("resync", *ExternalData.objects.all())
    assert told.count("told to explode") == 5
    assert "3 more failed" in told


def test_error_text_in_messages_is_escaped(monkeypatch, root, states):
    monkeypatch.setattr(selection, "sync_keys", lambda *args, **options: 1 / 0)
    ExternalData.objects.filter(pk=states["dead"].pk).update(object_key="<script>alert(1)</script>")
    page = act_raw(root, "resync", states["dead"]).content.decode()
    assert "ZeroDivisionError" in page
    assert "<script>alert" not in page


def test_from_the_objects_own_page(root, states):
    page = root.get(reverse(DETAIL, args=[states["german"].pk])).content.decode()
    assert 'name="action" value="retry"' not in page
    for name in ("resync", "embed_anew", "remove"):
        assert f'name="action" value="{name}"' in page
    assert 'name="action" value="retry"' in root.get(reverse(DETAIL, args=[states["dead"].pk])).content.decode()
    response = act_raw(root, "resync", states["german"], detail=1)
    assert response.redirect_chain == [(reverse(DETAIL, args=[states["german"].pk]), 302)]
    response = act_raw(root, "remove", states["german"], detail=1, confirmed=1)
    assert response.redirect_chain == [(reverse(LIST), 302)]


@pytest.mark.parametrize("name", ACTIONS)
def test_who_may_only_view_cannot_act(client, staff, states, name):
    client.force_login(staff("view"))
    page = client.get(reverse(LIST)).content.decode()
    assert f'value="{name}"' not in page
    assert 'name="action"' not in client.get(reverse(DETAIL, args=[states["dead"].pk])).content.decode()
    mend(states["dead"].object_key)
    before = list(ExternalData.objects.order_by("pk").values())
    act_raw(client, name, states["dead"], states["german"], confirmed=1)
    assert list(ExternalData.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    ("kinds", "allowed"),
    [
        (["change"], ["retry", "resync", "embed_anew"]),
        (["view", "delete"], ["remove"]),
        (["view", "add"], []),
    ],
)
def test_each_action_needs_its_permission(client, staff, states, kinds, allowed):
    client.force_login(staff(*kinds))
    page = client.get(reverse(DETAIL, args=[states["dead"].pk])).content.decode()
    assert [name for name in ACTIONS if f'value="{name}"' in page] == allowed
    act_raw(client, "remove", states["dead"], confirmed=1)
    assert ExternalData.objects.filter(pk=states["dead"].pk).exists() is ("remove" not in allowed)


@pytest.mark.parametrize("kinds", [[], ["add"]])
def test_without_permission_nothing_is_seen(client, staff, states, kinds):
    client.force_login(staff(*kinds))
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(reverse(DETAIL, args=[states["german"].pk])).status_code == 403
    assert act_raw(client, "remove", states["german"], confirmed=1).status_code == 403
    assert ExternalData.objects.filter(pk=states["german"].pk).exists()


@pytest.mark.django_db(transaction=True)
def test_hook_whose_query_fails_harms_only_its_own_row(root, act, drain):
    Note.notes.create(text="badquery")
    Note.notes.create(text="fine")
    drain()
    told = act("resync", *ExternalData.objects.all())
    assert "Resynced 2 objects (1 unchanged, 1 failed)." in told
    assert "no_such_column" in told
