"""What the worker does with a draft that was committed, by whatever program."""

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.utils import timezone

from demo.library.agents import summariser
from demo.library.analysis import analyse
from demo.library.models import Draft
from pgknowbase import Change, on_change


def analyse_draft(change: Change, *, by: str = "words and vectors", **said: Any) -> None:
    """Save what the words and the vectors of the index say, and what a language model ``said`` in its place."""
    draft: Draft = change.instance
    found = {**asdict(analyse(draft.title, draft.body)), **said}
    Draft.objects.filter(pk=draft.pk).update(**found, analysed_by=by, analysed_at=timezone.now())


# One name for both, so that the triggers are the same with a language model and without.
on_change(Draft, fields=["title", "body"], name="library.analyse_draft")(
    summariser(analyse_draft) if getattr(settings, "DEMO_MODEL", "") and find_spec("pydantic_ai") else analyse_draft
)
