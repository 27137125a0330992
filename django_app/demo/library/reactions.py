"""The reaction to drafts: the worker calls it after each committed change, whichever program wrote it."""

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.utils import timezone

from demo.library.agents import make_summariser
from demo.library.analysis import analyse
from demo.library.models import Draft
from pgknowbase import Change, on_change


def analyse_draft(change: Change, *, analysed_by: str = "words and vectors", **review: Any) -> None:
    """Save the analysis of a draft; a language model's ``review`` replaces the fields that it has."""
    draft: Draft = change.instance
    fields = {**asdict(analyse(draft.title, draft.body)), **review}
    # update() touches neither title nor body, so it does not fire the reaction again.
    Draft.objects.filter(pk=draft.pk).update(**fields, analysed_by=analysed_by, analysed_at=timezone.now())


# The name goes into the triggers, so it must be the same with a language model and without.
on_change(Draft, fields=["title", "body"], name="library.analyse_draft")(
    make_summariser(analyse_draft)
    if getattr(settings, "DEMO_MODEL", "") and find_spec("pydantic_ai")
    else analyse_draft
)
