"""An agent that runs for changes, and saves what it says into the row, columns that it watches among them."""

import os
from pathlib import Path

from django.db.models import Q
from pydantic import BaseModel

from pgknowbase import on_change
from pgknowbase.agents import DjangoAgent, DjangoDeps
from tests.projects.newsroom.models import Wire


class Review(BaseModel):
    summary: str
    score: float


reviewer = DjangoAgent[DjangoDeps, Review](name="reviewer", output_type=Review, max_retries=0)
on_change(Wire, fields=["text"], condition=Q(status="new"))(reviewer)


@reviewer.on_output
def keep(change, review: Review):
    mark = os.environ.get("NEWSROOM_DIE")
    if mark and not Path(mark).exists():
        Path(mark).touch()
        os._exit(9)
    wire = change.instance
    wire.summary, wire.score, wire.text = review.summary, review.score, f"{wire.text}."
    wire.save()
