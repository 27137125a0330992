"""The page of one object."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pgknowbase.admin import detail
from pgknowbase.admin.display import moment
from pgknowbase.core import gateway
from pgknowbase.models import EmbeddingSpace, ExternalData
from tests.integration.admin.conftest import DETAIL, TITLES, data_of
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db


def page_of(client, data, site="admin"):
    response = client.get(reverse(DETAIL, args=[data.pk], current_app=site))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("name", [*TITLES, "failed", "dead", "gone"])
def test_opens_in_every_state(root, states, name):
    data = states[name]
    page = page_of(root, data)
    assert "Document" in page
    assert ("Nothing has been rendered yet." in page) is (name in {"failed", "dead", "gone"})
    assert ("unknown to this project" in page) is (name == "gone")
    assert ("told to explode" in page) is (name in {"failed", "dead"})
    assert ("Nothing has been embedded yet" in page) is (name in {"failed", "dead", "gone", "chinese"})


def test_shows_everything(root, states):
    page = page_of(root, states["german"])
    assert "Body: Eine Tabelle." in page
    assert "&quot;year&quot;: 2026" in page
    assert "&lt;b&gt;files&lt;/b&gt;" in page
    assert states["german"].content_hash in page
    assert '<th scope="row">0</th>' in page
    assert "Similar objects" in page
    assert TITLES["hindi"] in page
    assert page.split("Similar objects")[1].count("<td>blog.Article</td>") == 3
    assert f"<td>{states['german'].chunks[0].tokens}</td>" in page


def test_all_text_is_escaped(root, states):
    page = page_of(root, states["hostile"])
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


@pytest.mark.parametrize("name", ["list", "hostile", "confirmation"])
def test_nothing_inline_that_a_strict_csp_forbids(root, states, name):
    url = reverse("admin:pgknowbase_externaldata_changelist")
    if name == "confirmation":
        response = root.post(url, {"action": "remove", "_selected_action": states["hostile"].pk, "index": 0})
    else:
        response = root.get(url if name == "list" else reverse(DETAIL, args=[states[name].pk]))
    page = response.content.decode()
    assert response.status_code == 200
    assert "pgknowbase/admin.css" in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page)
    assert "javascript:" not in page


def test_dead_letter_says_that_nothing_comes_by_itself(root, states):
    assert "waits for the action Retry" in page_of(root, states["dead"])
    page = page_of(root, states["failed"])
    assert "waits for the action Retry" not in page
    assert moment(states["failed"].retry_at) in page
    assert ">None<" not in page_of(root, states["german"])


def test_long_text_is_folded_and_cut(monkeypatch, root, work):
    monkeypatch.setattr(detail, "SHOWN_AT_ONCE", 300)
    monkeypatch.setattr(detail, "LONGEST_TEXT", 1000)
    article = Article.objects.create(title="Long", body="word " * 2000)
    work()
    data = data_of(article)
    page = page_of(root, data)
    assert "<summary>Show the rest</summary>" in page
    assert f"{len(data.content) - 1000} more characters are not shown." in page
    text = detail.long_text(data.content[:1000], len(data.content))
    assert text.head + text.rest == data.content[:1000]
    assert text.head.endswith(" ")


def test_long_text_without_spaces_is_cut_all_the_same():
    text = detail.long_text("文" * 9000, 9000)
    assert (len(text.head), len(text.rest), text.omitted) == (detail.SHOWN_AT_ONCE, 6000, 0)


def test_many_chunks_are_cut(monkeypatch, root, work):
    monkeypatch.setattr(detail, "CHUNKS", 3)
    article = Article.objects.create(title="Long", body="Some words in a row. " * 400)
    work()
    data = data_of(article)
    assert data.chunk_count > 3
    page = page_of(root, data)
    assert f"The first 3 of {data.chunk_count} are shown." in page
    assert page.count('<th scope="row">') == 3


def test_queries_do_not_grow_with_chunks_and_neighbours(root, work):
    def queries(data):
        page_of(root, data)
        with CaptureQueriesContext(connection) as captured:
            page_of(root, data)
        return len(captured)

    articles = [Article.objects.create(title=f"Article {number}", body="Words.") for number in range(3)]
    work()
    few = queries(data_of(articles[0]))
    articles[0].body = "Some words in a row. " * 400
    articles[0].save()
    for number in range(30):
        Note.notes.create(text=f"note {number}")
    work()
    assert queries(data_of(articles[0])) == few
    assert few <= 16


def test_no_space_active(root, states):
    gateway.fetch("default", "space_drop", space=EmbeddingSpace.objects.get().pk)
    assert "No embedding space is active" in page_of(root, states["german"])


def test_source_row_gone_and_key_of_another_kind(root, states):
    Article.objects.filter(title=TITLES["german"]).delete()
    assert "no longer exists" in page_of(root, states["german"])
    odd = ExternalData.objects.create(content_type=states["dead"].content_type, object_key="no uuid")
    assert "no longer exists" in page_of(root, odd)


def test_unknown_object_leads_back(root):
    response = root.get(reverse(DETAIL, args=[4711]), follow=True)
    assert response.redirect_chain == [(reverse("admin:index"), 302)]
    assert "4711" in response.content.decode()


@pytest.mark.urls("tests.integration.admin.backoffice")
def test_links_to_the_source_rows_own_page(root, states):
    key = states["german"].object_key
    page = page_of(root, states["german"], "backoffice")
    assert f'href="/backoffice/blog/article/{key}/change/"' in page
    assert f'href="/backoffice/pgknowbase/externaldata/{states["hindi"].pk}/change/"' in page
    assert "/change/" not in page_of(root, states["dead"], "backoffice")
    assert "/blog/article" not in page_of(root, states["german"])


@pytest.mark.urls("tests.integration.admin.backoffice")
def test_no_link_for_whom_the_page_is_closed(client, staff, states):
    user = staff("view")
    client.force_login(user)
    assert "/blog/article/" not in page_of(client, states["german"], "backoffice")
    kind = ContentType.objects.get_for_model(Article)
    user.user_permissions.add(Permission.objects.get(codename="view_article", content_type=kind))
    assert "/blog/article/" in page_of(client, states["german"], "backoffice")


def test_nothing_can_be_added_changed_or_deleted(root, states):
    data = states["german"]
    assert root.get(reverse("admin:pgknowbase_externaldata_add")).status_code == 403
    assert root.get(reverse("admin:pgknowbase_externaldata_delete", args=[data.pk])).status_code == 403
    assert root.post(reverse(DETAIL, args=[data.pk]), {"title": "other"}).status_code == 403
    data.refresh_from_db()
    assert data.title == TITLES["german"]
    assert 'name="_save"' not in page_of(root, data)
