import pytest
from django.contrib.auth.models import User

from pgknowbase.models import OutboxEvent
from tests.projects.blog.models import Article, Note


@pytest.fixture
def ann(db):
    return User.objects.create_user("ann")


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root")


@pytest.fixture
def library(ann, drain):
    """Four public notes about bread, one of ann's articles about it, and one of nobody's."""
    OutboxEvent.objects.all().delete()
    for kind in ("Rye", "Wheat", "Corn", "Oat"):
        Note.notes.create(text=f"{kind} bread with <b>butter</b> & <script>alert(1)</script>.")
    Article.objects.create(title="Ann's <i>secret</i> bread", body="Only for Ann.", author=ann)
    Article.objects.create(title="Nobody's bread", body="For nobody's eyes.")
    drain()
