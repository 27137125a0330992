"""The knowledge page: a search as a user sees it, the scores of each hit, and why an object is missing."""

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
from pgknowbase.operations.why_missing import Verdict, parsed_object, why_missing
from pgknowbase.search.external import SEARCH_MODES, SearchMode
from pgknowbase.search.filters import RERANK_OFF, TextSearchOptions
from pgknowbase.search.plan import Explanation, HybridStep
from pgknowbase.search.queries import MAX_QUERY_CHARACTERS
from pgknowbase.search.visibility import UNRESTRICTED, Viewer
from pgknowbase.sources.registry import source_by_label, sources

SEARCH_AS_OTHERS = "pgknowbase.search_as_others"
CONTEXT_CHARACTERS = 160
LONGEST_CHUNK = 2_000
DEPTH = 100


class KnowledgeForm(forms.Form):
    """The query, its options, and the user whose view of the index is searched."""

    q = forms.CharField(label="Query", strip=False, widget=forms.TextInput(attrs={"size": 60}))
    mode = forms.ChoiceField(
        label="Mode", choices=[(mode, mode) for mode in SEARCH_MODES], initial="hybrid", required=False
    )
    models = forms.MultipleChoiceField(label="Models (none: all)", required=False)
    limit = forms.IntegerField(label="Hits", min_value=1, max_value=50, initial=10, required=False)
    threshold = forms.FloatField(label="Threshold", required=False)
    rerank = forms.ChoiceField(label="Second stage", required=False)
    metadata = forms.CharField(label="Metadata (JSON)", required=False)
    tags = forms.CharField(label="Tags (with commas)", required=False)
    user = forms.CharField(label="Look as user", required=False)
    missing = forms.CharField(label="Why is this object missing? (blog.Article:12)", required=False)

    def __init__(self, *args: Any, may_look_as: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        models: Any = self.fields["models"]
        models.choices = [(source.label, source.label) for source in sources()]
        models.widget.attrs["size"] = min(4, max(2, len(models.choices)))
        names = sorted(get_settings().rerankers)
        reranks: Any = self.fields["rerank"]
        reranks.choices = [("", "as measured"), (RERANK_OFF, "off"), *((name, name) for name in names)]
        if not names:
            del self.fields["rerank"]
        self.fields["q"].widget.attrs["maxlength"] = MAX_QUERY_CHARACTERS
        if not may_look_as:
            del self.fields["user"]

    def clean_metadata(self) -> Any:
        """Conditions as JSON. The search validates them, and its message says what is wrong."""
        try:
            return json.loads(self.cleaned_data["metadata"] or "null")
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError("Enter a valid JSON.") from error

    def clean_user(self) -> Any:
        """The user of that name; without a name the search is not restricted."""
        name = self.cleaned_data["user"]
        if not name:
            return UNRESTRICTED
        manager: Any = get_user_model()._default_manager.using(get_settings().database)
        found = manager.filter(**{get_user_model().USERNAME_FIELD: name}).first()
        if found is None:
            raise forms.ValidationError("There is no such user.")
        return found

    def options(self) -> TextSearchOptions:
        """The options that ``ExternalData.objects.search`` takes."""
        given = self.cleaned_data
        tags = [tag.strip() for tag in given["tags"].split(",") if tag.strip()]
        viewer: Viewer = given.get("user", UNRESTRICTED)
        return TextSearchOptions(
            limit=given["limit"] or 10,
            threshold=given["threshold"],
            metadata=given["metadata"] or None,
            tags=tags or None,
            visible_to=viewer,
            rerank=given.get("rerank") or None,
        )


@dataclass(frozen=True, slots=True)
class HitRow:
    """One hit: its scores, its rank in each ranking, and its chunk with what surrounds it in the document.

    ``dense_part`` and ``keyword_part`` add up to the score of a hybrid search.
    """

    data: Any
    place: int
    url: str
    source: Any
    dense_rank: int | None
    keyword_rank: int | None
    dense_part: float | None
    keyword_part: float | None
    before: str
    chunk: str
    after: str


def knowledge_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The response for the page.

    Raises:
        PermissionDenied: the user may not see external data, or not search as others.
    """
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
    may_look_as = request.user.has_perm(SEARCH_AS_OTHERS)
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
            # A savepoint: a search that fails must not abort the transaction of the page that reports it.
            with transaction.atomic(using=get_settings().database):
                context |= _search_context(form, model_admin)
        except PgKnowbaseError as error:
            context["error"] = str(error)
    return TemplateResponse(request, "admin/pgknowbase/externaldata/knowledge.html", context)


def _search_context(form: KnowledgeForm, model_admin: Any) -> dict[str, Any]:
    using, given = get_settings().database, form.cleaned_data
    text, options = given["q"], form.options()
    mode: SearchMode = given["mode"] or "hybrid"
    models = [source_by_label(label).model for label in given["models"]] or None
    rows = ExternalData.objects.using(using)
    search = rows.search(text, models=models, mode=mode, **options)
    explanation = search.explain_search()
    hits = list(search)  # the explanation has just filled the cache of the second stage
    for data in rows.select_related("content_type").filter(pk__in=[hit.pk for hit in hits]):
        next(hit for hit in hits if hit.pk == data.pk).content_type = data.content_type
    # Ranks are looked up in longer lists without a threshold, so that a hit's rank is known in both.
    wide: TextSearchOptions = {**options, "limit": DEPTH, "threshold": None, "rerank": RERANK_OFF}
    compared = [name for name in ("semantic", "keyword") if mode in (name, "hybrid")]
    rankings = {name: _ranking(rows, text, models, name, wide) for name in compared}
    found: dict[str, Any] = {
        "mode": mode,
        "explanation": explanation,
        "step": _hybrid(explanation),
        "second": explanation.rerank,
        "hits": _hit_rows(hits, rankings, explanation, using, model_admin.admin_site),
    }
    if given["missing"]:
        label, key = parsed_object(given["missing"])
        found["missing"] = _missing(text, label, key, using, mode, models, options)
        found["missing_url"] = (
            display.change_url(model_admin.admin_site, ExternalData, found["missing"].data.pk)
            if found["missing"].data
            else ""
        )
    return found


def _missing(text: str, label: str, key: str, using: str, mode: SearchMode, models: Any, options: Any) -> Verdict:
    return why_missing(text, source_by_label(label), key, using=using, mode=mode, among=models, **options)


def _ranking(rows: Any, text: str, models: Any, mode: str, options: TextSearchOptions) -> dict[int, tuple[int, float]]:
    """Rank and score of the hits of one mode, by primary key."""
    lowest: dict[str, Any] = {**options, "threshold": -1 if mode == "semantic" else None}
    found = enumerate(rows.search(text, models=models, mode=mode, **lowest), start=1)
    return {data.pk: (place, data.score) for place, data in found}


def _hybrid(explanation: Explanation) -> HybridStep | None:
    last = explanation.steps[-1] if explanation.steps else None
    return last if isinstance(last, HybridStep) else None


def _hit_rows(
    hits: list[Any], rankings: Mapping[str, Mapping[int, Any]], explanation: Explanation, using: str, site: Any
) -> list[HitRow]:
    step, texts = _hybrid(explanation), _texts(hits, using)
    nowhere, worded = (None, None), rankings.get("keyword", {})
    best = max((score for _, score in worded.values()), default=0)
    shown = []
    for place, hit in enumerate(hits, start=1):
        words = None if step is None else (1 - step.weight) * (hit.keyword_score or 0) / (best or 1)
        before, chunk, after = _passage(hit, texts.get((hit.content_type_id, hit.object_key), ""))
        shown.append(
            HitRow(
                data=hit,
                place=place,
                url=display.change_url(site, ExternalData, hit.pk),
                source=display.model_label(hit.source_model, display.type_name(hit.content_type)),
                dense_rank=rankings.get("semantic", {}).get(hit.pk, nowhere)[0],
                keyword_rank=worded.get(hit.pk, nowhere)[0],
                dense_part=None if words is None else max(hit.score - words, 0),
                keyword_part=words,
                before=before,
                chunk=chunk,
                after=after,
            )
        )
    return shown


def _texts(hits: list[Any], using: str) -> dict[tuple[int, str], str]:
    keys = {(hit.content_type_id, hit.object_key) for hit in hits}
    rows = Document.objects.using(using).filter(source__in={key[0] for key in keys}, id__in={key[1] for key in keys})
    return {(document.source, document.id): document.content or "" for document in rows}


def _passage(hit: Any, content: str) -> tuple[str, str, str]:
    """What stands before the chunk, the chunk, what stands after it."""
    if hit.matched_span is None:
        return "", (hit.matched_chunk or "")[:LONGEST_CHUNK], ""
    start, end = hit.matched_span.lower, hit.matched_span.upper
    shown = content[start : min(end, start + LONGEST_CHUNK)]
    return content[max(start - CONTEXT_CHARACTERS, 0) : start], shown, content[end : end + CONTEXT_CHARACTERS]
