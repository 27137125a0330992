"""Projects as they are found: a user model of their own, parents in other tables, tables in other schemas, new labels."""

import re

import pytest

from tests.integration.migrations.lab import CONTENT, FILL, MODELS, SHOW, WORK, Lab
from tests.integration.migrations.test_changes import check, write

OWN_USER = """
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from pgknowbase.mixins import ExternalDataMixin

class Member(AbstractUser):
    pass

class Item(models.Model):
    kind = models.TextField(default="")

class Note(ExternalDataMixin, Item):
    title = models.TextField(default="")
    text = models.TextField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    class ExternalDataMeta:
        watch_fields = ["title", "text", "owner__username"]
        owner_field = "owner"

class Leaf(ExternalDataMixin, models.Model):
    body = models.TextField()
    class Meta:
        db_table = 'archive"."leaf'
    class ExternalDataMeta:
        watch_fields = ["body"]
        is_public = True
"""
FILL_OWN = """
from lab.models import Leaf, Member, Note
ann = Member.objects.create_superuser("ann")
Note.objects.create(title="t", text="words", owner=ann)
Leaf.objects.create(body="of a tree")
"""
SEARCH = """
from django.test import Client, override_settings
from lab.models import Member
from pgknowbase.models import ExternalData
bea = Member.objects.create(username="bea")
ann = Member.objects.get(username="ann")
for user in (ann, bea):
    found = ExternalData.objects.search("words of a tree", visible_to=user, threshold=-1)
    print(user.username, sorted(hit.source_model._meta.model_name for hit in found))
client = Client()
client.force_login(ann)
with override_settings(ALLOWED_HOSTS=["*"]):
    print("admin", client.get("/admin/pgknowbase/externaldata/").status_code)
    print("api", client.get("/api/knowledge/search/", {"query": "words"}).json()["results"][0]["title"])
"""


@pytest.fixture
def own_user(make_database, tmp_path):
    """A project whose users, notes with a parent, and leaves in another schema are all its own."""
    made = Lab.create(make_database(), tmp_path / "project", OWN_USER)
    settings = made.directory / "lab_settings.py"
    settings.write_text(settings.read_text() + 'AUTH_USER_MODEL = "lab.Member"\n')
    made.write("CREATE SCHEMA archive")
    made("makemigrations lab", "migrate -v0", ["shell", "-c", FILL_OWN], WORK)
    return made


def contents(lab):
    return dict(lab.database.rows(CONTENT))


def test_own_user_model_parents_and_other_schemas(own_user):
    assert own_user(["shell", "-v0", "-c", SEARCH]).split("\n")[:4] == [
        "ann ['leaf', 'note']",
        "bea ['leaf']",
        "admin 200",
        "api t",
    ]
    own_user.write(
        "UPDATE lab_member SET username = 'cid' WHERE username = 'ann'; UPDATE archive.leaf SET body = 'fell'"
    )
    own_user(WORK)
    found = contents(own_user)
    assert "cid" in found["lab.note"]
    assert found["lab.leaf"] == "fell"
    own_user.write("DELETE FROM archive.leaf")
    own_user(WORK)
    assert set(contents(own_user)) == {"lab.note"}
    # A watched field moves to the parent.
    own_user.write("UPDATE lab_note SET text = 'waits'")
    own_user.change(
        ('    title = models.TextField(default="")\n', ""),
        (
            '    kind = models.TextField(default="")\n',
            '    kind = models.TextField(default="")\n    title = models.TextField(default="")\n',
        ),
    )
    own_user("migrate -v0", WORK)
    assert "waits" in contents(own_user)["lab.note"]
    check(own_user, write("UPDATE lab_item SET title = 'of the parent'"), WORK)
    assert "of the parent" in contents(own_user)["lab.note"]


RENAMED_BY_HAND = """
ALTER TABLE lab_note RENAME TO studio_note;
ALTER TABLE lab_author RENAME TO studio_author;
ALTER TABLE lab_page RENAME TO studio_page;
UPDATE django_migrations SET app = 'studio' WHERE app = 'lab';
"""


def test_new_app_label(lab):
    """As docs/upgrading.md says: tables and migrations are renamed by hand, and the next migration names the sources."""
    lab.write("UPDATE lab_author SET name = 'Bea'; UPDATE lab_note SET text = 'waits'")
    lab.write(RENAMED_BY_HAND)
    app = lab.directory / "lab"
    (app / "apps.py").write_text(
        "from django.apps import AppConfig\n\nclass LabConfig(AppConfig):\n    name = 'lab'\n    label = 'studio'\n"
    )
    for migration in (app / "migrations").glob("0*.py"):
        migration.write_text(re.sub(r"(['\"])lab(['\".])", r"\1studio\2", migration.read_text()))
    lab("makemigrations studio")
    newest = max((app / "migrations").glob("0*.py"))
    newest.write_text(
        newest.read_text().replace(
            "operations = [",
            "operations = [pgknowbase.capture.operations.RenameSource('lab.Note', 'studio.Note'),"
            " pgknowbase.capture.operations.RenameSource('lab.Page', 'studio.Page'),",
        )
    )
    lab("migrate -v0", WORK)
    label, text = lab.content()
    assert (label, "Bea" in text, "waits" in text) == ("studio.note", True, True)
    assert "Cid" in check(lab, write("UPDATE studio_author SET name = 'Cid'"), WORK, SHOW)


def test_app_without_migrations(make_database, base, tmp_path):
    """``MIGRATION_MODULES`` leaves it without, as projects do for speed in their tests."""
    lab = Lab.create(make_database(template=base.name), tmp_path / "project", MODELS)
    settings = lab.directory / "lab_settings.py"
    settings.write_text(settings.read_text() + 'MIGRATION_MODULES = {"lab": None}\n')
    assert "words" in lab("migrate -v0 --run-syncdb", ["shell", "-c", FILL], WORK, SHOW)
    lab.write("UPDATE lab_author SET name = 'Bea'")
    assert "Bea" in check(lab, "migrate -v0 --run-syncdb", WORK, SHOW)
