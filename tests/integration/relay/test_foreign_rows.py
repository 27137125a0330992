"""Rows of outbox, expansion and delivery that another version of the project has written stop no worker."""

from itertools import product

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.models.expressions import RawSQL

from pgknowbase.core.keys import key_page, normal_key
from pgknowbase.models import Delivery, Document, Expansion, ExternalData, OutboxEvent, ReactionEvent
from pgknowbase.reactions.registry import valid_reactions
from pgknowbase.sources.registry import sources
from pgknowbase.testing import make_due
from tests.projects.blog.models import Article
from tests.projects.press.models import Host, Shift, Slot
from tests.projects.shapes.models import Essay, Moment

JUNK = (
    *("", " ", "abc", "-1", "0", "9223372036854775808", "99999999999999999999999999999999", "1e400", "1.5", "NaN"),
    *(
        "Infinity",
        "true",
        "None",
        "null",
        "[]",
        "[1]",
        '["1", "2"]',
        '["1", "2", "3"]',
        "{}",
        '{"a": 1}',
        '"x"',
        "[null, null]",
    ),
    *(
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "10000-01-01",
        "2024-02-30",
        "24:00:00",
        "P1D",
        "::ffff:1.2.3.4",
        "10.0.0.1/8",
        '["10.0.0.1", "true", null]',
    ),
    *(
        "00000000-0000-0000-0000-000000000000",
        "ffffffffffffffff",
        "zz",
        "\\x00",
        "\u0661",
        "\U0001f600" * 50,
        "[[1], [2]]",
    ),
)
PATHS = (
    "",
    "pk",
    "*",
    "gone",
    "gone__pk",
    "title",
    "title__gone",
    "title__regex",
    "title__icontains",
    "pk__gt",
    "__",
    "a__b__c__d",
)

pytestmark = pytest.mark.django_db(transaction=True)


def real_paths(source):
    return [watch.lookup for watch in source.watches if watch.lookup]


def test_keys_and_paths_that_this_version_does_not_know(drain):
    events, expansions = [], []
    # Each path has a third of these, each third some path of each source.
    stages = [*product((None, [], list(JUNK)), (None, "abc", "[1, 2]", "9" * 40))]
    for source in sources():
        for number, path in enumerate((*PATHS, *real_paths(source))):
            events.append(OutboxEvent(source=source.label, path=path, object_keys=list(JUNK), op="U"))
            events.append(OutboxEvent(source=source.label, path=path, object_keys=[None], op="D"))
            events.append(OutboxEvent(source=source.label, path=path, object_keys=None, op="T"))
            expansions += [
                Expansion(source=source.label, path=path, object_keys=keys, after=after)
                for keys, after in stages[number % 3 :: 3]
            ]
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        OutboxEvent.objects.bulk_create(events)
        Expansion.objects.bulk_create(expansions)
        cursor.execute("SET session_replication_role = origin")
    article = Article.objects.create(title="alive", body="b")
    drain()
    assert not OutboxEvent.objects.exists()
    assert not Expansion.objects.exists()
    assert ExternalData.objects.of(article).get().status == "completed"
    assert ExternalData.objects.exclude(status="completed").count() == 0


UNREADABLE = """
INSERT INTO shapes_moment VALUES ('-infinity', 'a'), ('2026-01-01', 'b'), ('20000-01-01', 'c'), ('infinity', 'd');
INSERT INTO press_shift (start, length, text) VALUES ('24:00', '1 day', 'a'), ('1:00', '1 day', 'b');
INSERT INTO press_host (key, text) VALUES ('10.0.0.1', 'a'), ('10.0.0.1/8', 'b');
INSERT INTO press_slot (host_id, is_open, at, text)
VALUES ('10.0.0.1', true, 'infinity', 'a'), ('10.0.0.1/8', true, '2026-01-01', 'b');
INSERT INTO press_slot (host_id, is_open, at, text) VALUES ('10.0.0.1', true, '2026-01-01', 'c');
"""


def test_rows_whose_keys_python_cannot_hold(drain):
    """Postgres stores them, Django cannot read them: they are left out, and all others are indexed."""
    readable = {
        '["01:00:00.000000", "86400000000"]',
        "2026-01-01T00:00:00.000000Z",
        "10.0.0.1",
        '["10.0.0.1", "true", "2026-01-01T00:00:00.000000Z"]',
    }
    with connection.cursor() as cursor:
        cursor.execute(UNREADABLE)
    drain()
    assert {*ExternalData.objects.values_list("object_key", "status")} == {(key, "completed") for key in readable}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE press_host SET text = 'new'")
        cursor.execute("DELETE FROM pgknowbase_document; DELETE FROM pgknowbase_externaldata")
    for model in (Moment, Shift, Slot, Host):
        Expansion.objects.create(source=model._meta.label, path="every row")
    drain()
    assert not OutboxEvent.objects.exists()
    assert not Expansion.objects.exists()
    assert {*ExternalData.objects.values_list("object_key", "status")} == {(key, "completed") for key in readable}
    assert [Slot.sync_all_external_data().unchanged, Shift.sync_all_external_data().unchanged] == [1, 1]
    call_command("migrate", verbosity=0)


def test_rows_whose_values_python_cannot_hold_fail_alone(drain):
    """Here the date of a related row; the others of the batch are loaded without it."""
    users = [User.objects.create(username=name) for name in "abc"]
    essays = [Essay.objects.create(title="t", writer=user) for user in users]
    User.objects.filter(pk=users[1].pk).update(date_joined=RawSQL("'infinity'::timestamptz", []))
    drain()
    found = dict(ExternalData.objects.values_list("object_key", "status"))
    assert [found[str(essay.pk)] for essay in essays] == ["completed", "failed", "completed"]
    User.objects.filter(pk=users[1].pk).update(date_joined=users[1].date_joined)
    make_due()
    drain()
    assert {*ExternalData.objects.values_list("status", flat=True)} == {"completed"}


def test_pages_of_keys_that_python_cannot_hold(drain):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shapes_moment SELECT '15000-01-01'::date + n, 'a' FROM generate_series(1, 9) n")
        cursor.execute("INSERT INTO shapes_moment VALUES ('-infinity', 'b'), ('2026-01-01', 'c'), ('2027-01-01', 'd')")
    found, last = key_page(Moment.objects.all(), None, 1)
    while last is not None:
        page, last = key_page(Moment.objects.all(), last, 1)
        found += page
    assert len(set(found)) == 11
    assert len(found) < 40


def test_deliveries_that_this_version_does_not_know(drain):
    names = [*valid_reactions(), "gone.reaction"]
    ReactionEvent.objects.bulk_create(
        ReactionEvent(reaction=name, object_keys=list(JUNK), op=op, chain=chain)
        for name in names
        for op in "IUDX"
        for chain in ("", "junk", "[[1]]", '[["a", "b", "c"]]', "{}", "7", '[["a", 1]]')
    )
    # Each reaction has a third of the keys.
    Delivery.objects.bulk_create(
        Delivery(reaction=name, model="gone.Model", object_key=key, op="X", event=1, chain="junk")
        for number, name in enumerate(names)
        for key in JUNK[number % 3 :: 3]
    )
    article = Article.objects.create(title="alive", body="b")
    drain()
    assert ExternalData.objects.of(article).get().status == "completed"
    assert {*ReactionEvent.objects.values_list("reaction", flat=True)} == {"gone.reaction"}
    assert {*Delivery.objects.filter(state="pending", error="").values_list("reaction", flat=True)} == {"gone.reaction"}


def test_documents_of_a_model_that_this_version_does_not_know(drain):
    """Their words are made and their chunks embedded; no search finds them."""
    article = Article.objects.create(title="alive", body="b")
    Document.objects.create(source=2**30, id="abc", title="t", content="of a model that is gone", language="klingon")
    drain()
    assert ExternalData.objects.of(article).get().status == "completed"
    with connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM pgknowbase_keywords WHERE source = %s AND NOT stale)", [2**30])
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT count(*) FROM pgknowbase_chunk WHERE source = %s", [2**30])
        assert cursor.fetchone() == (1,)
    assert [hit.object_key for hit in ExternalData.objects.search("model that is gone", threshold=-1)] == [
        str(article.pk)
    ]
    Document.objects.filter(source=2**30).delete()


@pytest.mark.parametrize("key", JUNK)
def test_key_of_any_text(key):
    for model in apps.get_models():
        if model._meta.managed and not model._meta.proxy:
            assert isinstance(normal_key(model, key), str)
