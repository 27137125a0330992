"""The knowledge page: a search as a person sees it, why each hit has its place, and why an object is missing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from pgknowbase.admin import display
from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError
from pgknowbase.models import Document, ExternalData
from pgknowbase.registry import source_by_label, sources
from pgknowbase.search.explanation import Explanation, HybridStep
from pgknowbase.search.external import LEGS, Leg
from pgknowbase.search.missing import Verdict, parsed_object, why_missing
from pgknowbase.search.options import TextSearchOptions
from pgknowbase.search.visibility import EVERYTHING, Viewer

LOOK_AS = "pgknowbase.search_as_others"
AROUND = 160
LONGEST_CHUNK = 2_000
DEPTH = 100


class KnowledgeForm(forms.Form):
    """What is searched, and for whom."""

    q = forms.CharField(label="Query", strip=False, widget=forms.TextInput(attrs={"size": 60}))
    leg = forms.ChoiceField(label="By", choices=[(leg, leg) for leg in LEGS], initial="hybrid", required=False)
    models = forms.MultipleChoiceField(label="Models (none: all)", required=False)
    limit = forms.IntegerField(label="Hits", min_value=1, max_value=50, initial=10, required=False)
    threshold = forms.FloatField(label="Threshold", required=False)
    metadata = forms.CharField(label="Metadata (JSON)", required=False)
    tags = forms.CharField(label="Tags (with commas)", required=False)
    user = forms.CharField(label="Look as user", required=False)
    missing = forms.CharField(label="Why is this object missing? (blog.Article:12)", required=False)

    def __init__(self, *args: Any, may_look_as: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        models: Any = self.fields["models"]
        models.choices = [(source.label, source.label) for source in sources()]
        models.widget.attrs["size"] = min(4, max(2, len(models.choices)))
        self.fields["q"].widget.attrs["maxlength"] = get_settings().search.max_query_characters
        if not may_look_as:
            del self.fields["user"]

    def clean_metadata(self) -> Any:
        """Conditions, as JSON; the search says what is wrong with them."""
        try:
            return json.loads(self.cleaned_data["metadata"] or "null")
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError("Enter a valid JSON.") from error

    def clean_user(self) -> Any:
        """The user of that name; none chosen is everything."""
        name = self.cleaned_data["user"]
        if not name:
            return EVERYTHING
        manager: Any = get_user_model()._default_manager
        found = manager.filter(**{get_user_model().USERNAME_FIELD: name}).first()
        if found is None:
            raise forms.ValidationError("There is no such user.")
        return found

    def options(self) -> TextSearchOptions:
        """As options of a search."""
        given = self.cleaned_data
        tags = [tag.strip() for tag in given["tags"].split(",") if tag.strip()]
        viewer: Viewer = given.get("user", EVERYTHING)
        return TextSearchOptions(
            limit=given["limit"] or 10,
            threshold=given["threshold"],
            metadata=given["metadata"] or None,
            tags=tags or None,
            visible_to=viewer,
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """One hit: its scores, its place in each leg, and its chunk where it stands in the document."""

    data: Any
    place: int
    url: str
    source: Any
    near_place: int | None
    worded_place: int | None
    by_meaning: float | None
    by_words: float | None
    before: str
    chunk: str
    after: str


def knowledge_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The page, for those who may see external data."""
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
    may_look_as = request.user.has_perm(LOOK_AS)
    if request.GET.get("user") and not may_look_as:
        raise PermissionDenied
    form = KnowledgeForm(request.GET if "q" in request.GET else None, may_look_as=may_look_as)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Knowledge",
        "opts": model_admin.opts,
        "media": model_admin.media,
        "form": form,
    }
    if form.is_bound and form.is_valid():
        try:
            with transaction.atomic(using=get_settings().database):
                context |= _found(form, model_admin)
        except PgKnowbaseError as error:
            context["error"] = str(error)
    return TemplateResponse(request, "admin/pgknowbase/externaldata/knowledge.html", context)


def _found(form: KnowledgeForm, model_admin: Any) -> dict[str, Any]:
    using, given = get_settings().database, form.cleaned_data
    text, options = given["q"], form.options()
    leg: Leg = given["leg"] or "hybrid"
    models = [source_by_label(label).model for label in given["models"]] or None
    rows = ExternalData.objects.using(using)
    search = rows.search(text, models=models, leg=leg, **options)
    explanation = search.explain_search()
    hits = list(search)
    for data in rows.select_related("content_type").filter(pk__in=[hit.pk for hit in hits]):
        next(hit for hit in hits if hit.pk == data.pk).content_type = data.content_type
    wide: TextSearchOptions = {**options, "limit": DEPTH, "threshold": None}
    legs = {name: _leg(rows, text, models, name, wide) for name in ("semantic", "keyword") if leg in (name, "hybrid")}
    found: dict[str, Any] = {
        "leg": leg,
        "explanation": explanation,
        "step": _hybrid(explanation),
        "hits": _shown(hits, legs, explanation, using, model_admin.admin_site),
    }
    if given["missing"]:
        label, key = parsed_object(given["missing"])
        found["missing"] = _missing(text, label, key, using, leg, models, options)
        found["missing_url"] = (
            display.change_url(model_admin.admin_site, ExternalData, found["missing"].data.pk)
            if found["missing"].data
            else ""
        )
    return found


def _missing(text: str, label: str, key: str, using: str, leg: Leg, models: Any, options: Any) -> Verdict:
    return why_missing(text, source_by_label(label), key, using=using, leg=leg, among=models, **options)


def _leg(rows: Any, text: str, models: Any, leg: str, options: TextSearchOptions) -> dict[int, tuple[int, float]]:
    """Place and score of what one leg finds, by primary key."""
    lowest: dict[str, Any] = {**options, "threshold": -1 if leg == "semantic" else None}
    found = enumerate(rows.search(text, models=models, leg=leg, **lowest), start=1)
    return {data.pk: (place, data.score) for place, data in found}


def _hybrid(explanation: Explanation) -> HybridStep | None:
    last = explanation.steps[-1] if explanation.steps else None
    return last if isinstance(last, HybridStep) else None


def _shown(
    hits: list[Any], legs: Mapping[str, Mapping[int, Any]], explanation: Explanation, using: str, site: Any
) -> list[Shown]:
    step, texts = _hybrid(explanation), _texts(hits, using)
    nowhere, worded = (None, None), legs.get("keyword", {})
    best = max((score for _, score in worded.values()), default=0)
    shown = []
    for place, hit in enumerate(hits, start=1):
        words = None if step is None else (1 - step.weight) * (hit.keyword_score or 0) / (best or 1)
        before, chunk, after = _marked(hit, texts.get((hit.content_type_id, hit.object_key), ""))
        shown.append(
            Shown(
                data=hit,
                place=place,
                url=display.change_url(site, ExternalData, hit.pk),
                source=display.model_label(hit.source_model, display.type_name(hit.content_type)),
                near_place=legs.get("semantic", {}).get(hit.pk, nowhere)[0],
                worded_place=worded.get(hit.pk, nowhere)[0],
                by_meaning=None if words is None else max(hit.score - words, 0),
                by_words=words,
                before=before,
                chunk=chunk,
                after=after,
            )
        )
    return shown


def _texts(hits: list[Any], using: str) -> dict[tuple[int, str], str]:
    keys = {(hit.content_type_id, hit.object_key) for hit in hits}
    rows = Document.objects.using(using).filter(source__in={key[0] for key in keys}, id__in={key[1] for key in keys})
    return {(source, key): content for source, key, content in rows.values_list("source", "id", "content")}


def _marked(hit: Any, content: str) -> tuple[str, str, str]:
    """What stands before the chunk, the chunk, what stands after it."""
    if hit.matched_span is None:
        return "", (hit.matched_chunk or "")[:LONGEST_CHUNK], ""
    start, end = hit.matched_span.lower, hit.matched_span.upper
    shown = content[start : min(end, start + LONGEST_CHUNK)]
    return content[max(start - AROUND, 0) : start], shown, content[end : end + AROUND]
