"""The embedding spaces in the admin."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pgknowbase.admin import space as space_admin
from pgknowbase.admin.space import queue_lengths
from pgknowbase.core import gateway
from pgknowbase.models import EmbeddingSpace
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db
LIST = "admin:pgknowbase_embeddingspace_changelist"
DETAIL = "admin:pgknowbase_embeddingspace_change"


@pytest.fixture
def add_spaces(db):
    """Create spaces beside the active one."""

    def add(*names):
        for name in names:
            gateway.fetch(
                "default",
                "space_create",
                name=name,
                backend="some.Backend",
                model="m",
                dimensions=8,
                chunk_size=700,
                chunk_overlap=110,
                template="$title <b>\n$chunk",
                splitter="recursive",
                index="halfvec",
                storage="vector",
                embedding="default",
                indexed=True,
            )

    return add


def page_of(client, space):
    response = client.get(reverse(DETAIL, args=[space.pk]))
    assert response.status_code == 200
    return response.content.decode()


def test_list_shows_state_and_queue(root, add_spaces):
    Article.objects.create(title="a", body="b").sync_to_external_data()
    add_spaces("other")
    page = root.get(reverse(LIST)).content.decode()
    assert "wordllama-256" in page
    assert "Not active" in page
    assert page.count('<td class="field-queue">1</td>') == 2


def test_detail_counts_queue_and_chunks(root, work):
    space = EmbeddingSpace.objects.get()
    Article.objects.create(title="a", body="b")
    Article.objects.create(title="c", body="d")
    work()
    Article.objects.create(title="e", body="f").sync_to_external_data()
    page = page_of(root, space)
    assert '<div class="readonly">2</div>' in page.split("field-chunks")[1].split("field-vectorizer_id")[0]
    assert '<div class="readonly">1</div>' in page.split("field-queue")[1].split("field-chunks")[0]
    assert space.store_table in page
    assert 'name="_save"' not in page


def test_inactive_space_is_estimated(root, add_spaces):
    add_spaces("other")
    other = EmbeddingSpace.objects.get(name="other")
    page = page_of(root, other)
    assert "not counted yet" in page
    assert "$title &lt;b&gt;" in page
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_class SET reltuples = 12345 WHERE relname = %s", [other.store_table])
    assert "about 12,345" in page_of(root, other)


def test_large_stores_are_not_counted_through(monkeypatch, root, work):
    monkeypatch.setattr(space_admin, "COUNTED", 1)
    Article.objects.create(title="a", body="Some words in a row. " * 400)
    work()
    Article.objects.create(title="b", body="b").sync_to_external_data()
    Article.objects.create(title="c", body="c").sync_to_external_data()
    space = EmbeddingSpace.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_class SET reltuples = 777 WHERE relname = %s", [space.store_table])
    page = page_of(root, space)
    assert "about 777" in page
    assert "more than 1" in page


def test_no_space_at_all(root):
    gateway.fetch("default", "space_drop", space=EmbeddingSpace.objects.get().pk)
    page = root.get(reverse(LIST)).content.decode()
    assert "0 embedding spaces" in page
    assert queue_lengths("default") == {}


def test_queries_do_not_grow_with_spaces(root, add_spaces):
    def queries():
        root.get(reverse(LIST))
        with CaptureQueriesContext(connection) as captured:
            root.get(reverse(LIST))
        return len(captured)

    add_spaces("s1", "s2")
    few = queries()
    add_spaces("s3", "s4", "s5", "s6")
    assert queries() == few
    assert few <= 5


def test_read_only(root):
    space = EmbeddingSpace.objects.get()
    assert root.get(reverse("admin:pgknowbase_embeddingspace_add")).status_code == 403
    assert root.get(reverse("admin:pgknowbase_embeddingspace_delete", args=[space.pk])).status_code == 403
    assert root.post(reverse(DETAIL, args=[space.pk]), {"name": "other"}).status_code == 403
