"""What people see of reactions: declarations that are refused, checks, commands, the admin, migrations."""

import json
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models import Q
from django.urls import reverse

from pgknowbase import on_change
from pgknowbase.checks import check_reactions
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import Delivery, ReactionEvent
from pgknowbase.reactions import registry
from pgknowbase.testing import drain, make_due
from tests.projects.newsroom.models import Story, Ticket


@pytest.fixture
def declaring(monkeypatch):
    """What is declared in the test is forgotten after it, and gets no triggers."""
    monkeypatch.setattr(registry, "_declared", list(registry._declared))
    monkeypatch.setattr(registry, "_listeners", [])


def ignore(change):
    pass


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"fields": "body"}, "is not a list of names"),
        ({"fields": [["body"]]}, "is not a list of names"),
        ({"fields": []}, "is not a list of names"),
        ({"condition": {"status": "draft"}}, "is not a Q object"),
        ({"on": "update"}, "give a tuple of insert, update, delete"),
        ({"on": ("truncate",)}, "give a tuple of insert, update, delete"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(options, part, declaring):
    with pytest.raises(ConfigurationError, match=part):
        on_change(Story, **options)(ignore)


def test_targets_and_models_of_the_wrong_kind_are_refused(declaring):
    with pytest.raises(ConfigurationError, match="decorate a function"):
        on_change(Story)(object())
    with pytest.raises(ConfigurationError, match="a model that has a table"):
        on_change("newsroom.Story")


def test_checks(declaring):
    assert check_reactions() == []
    on_change(Story, fields=["nothing"], name="a")(ignore)
    on_change(Story, fields=["body"], condition=Q(nothing=1), name="b")(ignore)
    on_change(Story, condition=Q(pk="no number"), name="c")(ignore)
    on_change(Ticket, name="c")(ignore)
    found = {message.id: message.msg for message in check_reactions()}
    assert (
        "'nothing' of the reaction 'a' is not a field of 'newsroom.Story': use one of body" in found["pgknowbase.E030"]
    )
    assert "'c'" in found["pgknowbase.E031"]
    assert "2 reactions are called 'c'" in found["pgknowbase.E032"]
    assert "a" not in registry.valid_reactions()


def test_default_name(declaring):
    assert {"newsroom.analyse", "newsroom.celled", "newsroom.tickets"} <= set(registry.reactions())


@pytest.fixture
def dead(db, state):
    story = Story.objects.create(body="explode")
    Ticket.objects.create(text="fine")
    for _ in range(3):
        make_due()
        drain()
    return Delivery.objects.get(object_key=story.pk, state="dead")


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_commands(dead, state):
    Ticket.objects.create(text="waits")
    found = json.loads(run("pgknowbase_status", "--format", "json"))["reactions"]
    by_name = {row["reaction"]: row for row in found}
    assert (by_name["newsroom.analyse"]["dead"], by_name["newsroom.analyse"]["done"]) == (1, 0)
    assert (by_name["newsroom.tickets"]["changes"], by_name["newsroom.tickets"]["done"]) == (1, 1)
    assert by_name["newsroom.ping"]["done"] == 0
    assert "newsroom.analyse" in run("pgknowbase_status")
    assert "told to explode" in run("pgknowbase_dead_letters", "--reactions")
    assert "No delivery" in run("pgknowbase_dead_letters", "newsroom.ping", "--reactions")
    with pytest.raises(Exception, match="is not a reaction: use one of"):
        run("pgknowbase_dead_letters", "wrong", "--reactions")
    Story.objects.update(body="fine")
    ReactionEvent.objects.filter(reaction="newsroom.analyse").delete()
    assert "1 are due now" in run("pgknowbase_dead_letters", "--reactions", "--retry")
    drain()
    dead.refresh_from_db()
    assert dead.state == "done"


def test_admin(dead, client):
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(reverse("admin:pgknowbase_delivery_changelist")).content.decode()
    assert "told to explode" in page
    assert str(dead.object_key) in page
    detail = client.get(reverse("admin:pgknowbase_delivery_change", args=[dead.pk])).content.decode()
    assert "tests/projects/newsroom/reactions.py" in detail
    assert 'name="_save"' not in detail
    Ticket.objects.create(text="waits")
    event = ReactionEvent.objects.get()
    assert "newsroom.tickets" in client.get(reverse("admin:pgknowbase_reactionevent_changelist")).content.decode()
    assert client.get(reverse("admin:pgknowbase_reactionevent_change", args=[event.pk])).status_code == 200
    values = {"action": "retry", "_selected_action": [dead.pk]}
    answer = client.post(reverse("admin:pgknowbase_delivery_changelist"), values, follow=True)
    assert "1 are due now" in answer.content.decode()
    dead.refresh_from_db()
    assert (dead.state, dead.attempts) == ("pending", 0)


def test_admin_retries_for_those_who_may(dead, client):
    from django.contrib.auth.models import Permission

    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_delivery"))
    client.force_login(viewer)
    url = reverse("admin:pgknowbase_delivery_changelist")
    assert "told to explode" in client.get(url).content.decode()
    client.post(url, {"action": "retry", "_selected_action": [dead.pk]})
    dead.refresh_from_db()
    assert dead.state == "dead"
