"""Rows in every state, staff with every set of permissions, and the few steps that all these tests take."""

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse

from pgknowbase.models import ExternalData
from pgknowbase.worker import Worker
from tests.projects.blog.models import Article, Category, Note

LIST = "admin:pgknowbase_externaldata_changelist"
DETAIL = "admin:pgknowbase_externaldata_change"
TITLES = {
    "german": "Größe der Übersetzungstabelle ändern",
    "arabic": "كيفية قراءة ملف مضغوط",
    "hindi": "संपीड़ित फ़ाइल कैसे पढ़ें",
    "chinese": "如何读取压缩文件",
    "hostile": '<script>alert("x")</script>',
}


@pytest.fixture
def staff(db):
    """A member of staff with the named permissions on external data, and no others."""

    def make(*kinds):
        user = User.objects.create_user(f"staff-{'-'.join(kinds) or 'none'}", is_staff=True)
        wanted = [f"{kind}_externaldata" for kind in kinds]
        user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
        return user

    return make


@pytest.fixture
def root(client, db):
    """A client signed in as superuser."""
    client.force_login(User.objects.create_superuser("root", first_name="Root"))
    return client


@pytest.fixture
def work(db):
    """Let the worker do all that is due."""
    return lambda: Worker().run_until_idle()


@pytest.fixture
def states(work):
    """One object in each state, by name; the titles are of several scripts."""
    author = User.objects.create_user("ada")
    category = Category.objects.create(name="<b>files</b>")
    Article.objects.create(title=TITLES["german"], body="Eine Tabelle.", author=author, category=category, year=2026)
    Article.objects.create(title=TITLES["hindi"], body="फ़ाइल")
    Article.objects.create(title=TITLES["arabic"], body="اقرأ الملف سطرا بسطر.")
    Article.objects.create(title=TITLES["hostile"], body="<img src=x onerror=alert(1)>")
    Note.notes.create(text="explode now")
    Note.notes.create(text="explode for good")
    work()
    dead = data_of(Note.notes.get(text="explode for good"))
    ExternalData.objects.filter(pk=dead.pk).update(retry_at=None, attempts=8)
    pending = Article.objects.create(title=TITLES["chinese"], body="逐行读取。")
    pending.sync_to_external_data()
    gone = ContentType.objects.create(app_label="gone", model="thing")
    ExternalData.objects.create(content_type=gone, object_key="7", title="of an app that is gone")
    return {
        **{name: ExternalData.objects.get(title=TITLES[name]) for name in TITLES},
        "failed": data_of(Note.notes.get(text="explode now")),
        "dead": ExternalData.objects.get(pk=dead.pk),
        "gone": ExternalData.objects.get(content_type=gone),
    }


@pytest.fixture
def act(client):
    """Post an action on some objects, follow the redirect and return the messages, in one text."""

    def post(name, *chosen, **extra):
        response = act_raw(client, name, *chosen, **extra)
        return "\n".join(str(message) for message in response.context["messages"])

    return post


def act_raw(client, name, *chosen, **extra):
    """Post an action as the list's form does."""
    data = {"action": name, "_selected_action": [one.pk for one in chosen], "index": 0, **extra}
    return client.post(reverse(LIST), data, follow=True)


def data_of(row):
    """What the index knows of a row."""
    return ExternalData.objects.of(row).get()


def shown(client, **params):
    """The objects that the list shows."""
    response = client.get(reverse(LIST), params)
    assert response.status_code == 200, response.headers
    return set(response.context["cl"].result_list)
