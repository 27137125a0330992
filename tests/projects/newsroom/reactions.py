"""Reactions that note their calls in ``Call``, and do what the row's texts tell them."""

import os
import time

from django.db import connection
from django.db.models import Q

from pgknowbase import Change, on_change
from tests.projects.newsroom.models import Call, Cell, Label, Report, Shift, Story, Ticket

STATE = {"fail": set(), "during": None}


def note(change: Change, seen="", *, ended=True):
    return Call.objects.create(
        reaction=change.reaction.partition(".")[2],
        object_key=change.object_key,
        op=change.op,
        seen=seen,
        idempotency_key=change.idempotency_key,
        attempt=change.attempt,
        depth=change.depth,
        ended=ended,
    )


@on_change(Story, fields=["status", "body"], condition=Q(status="draft"))
def analyse(change):
    """Writes a column that it does not watch, and one that it does."""
    story = change.instance
    if Call.objects.filter(reaction="analyse", object_key=change.object_key).count() >= 10:
        raise RuntimeError("This goes in circles, so it writes nothing more.")
    call = note(change, story.body, ended=False)
    if "sleep" in story.body:
        time.sleep(float(os.environ.get("NEWSROOM_SLEEP", "0.3")))
    if STATE["during"]:
        STATE["during"](change)
    if "explode" in story.body or story.pk in STATE["fail"]:
        raise RuntimeError(f"told to explode \0 by {story.title}")
    if "badquery" in story.body:
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column")
    story.summary = story.body.upper()
    story.body += "."
    story.save()
    Call.objects.filter(pk=call.pk).update(ended=True)


@on_change(Story, fields=["title"], on=("update",))
def ping(change):
    """With ``pong`` a circle of ever new rows."""
    note(change, change.instance.title)
    if change.instance.title.startswith("ball"):
        Label.objects.create(key=f"{change.instance.title}+", text="x")


@on_change(Label)
async def pong(change):
    note_ = Call(
        reaction="pong",
        object_key=change.object_key,
        op=change.op,
        seen=change.instance.text,
        idempotency_key=change.idempotency_key,
        attempt=change.attempt,
        depth=change.depth,
    )
    await note_.asave()
    if change.instance.text == "again":
        await Label.objects.filter(pk=change.pk).aupdate(text="again and again")
    if change.object_key.startswith("ball"):
        story = await Story.objects.acreate(title="", status="done")
        await Story.objects.filter(pk=story.pk).aupdate(title=change.object_key)


@on_change(Ticket, on=("insert", "update", "delete"), name="newsroom.tickets")
def watch_tickets(change):
    note(change, change.instance.text if change.instance else "")


class Agent:
    """What pgknowbase.agents registers."""

    name = "celled"

    def run_for_change(self, change):
        note(change, change.instance.text)


agent = Agent()
on_change(Cell)(agent)


@on_change(Shift, max_attempts=1, timeout=0.2)
def shift(change):
    note(change, change.instance.text)
    while change.instance.text == "endless":
        time.sleep(0.01)


@on_change(Report, fields=["status"], on=("update",))
def review(change):
    note(change, change.instance.status)
