"""The search form, its field, and a field for one row of a source model whose select completes what is typed."""

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse

from pgknowbase.errors import SearchError
from pgknowbase.search.queries import MAX_QUERY_CHARACTERS, checked_text
from pgknowbase.search.queryset import searchable
from pgknowbase.search.visibility import Viewer
from pgknowbase.sources.registry import Source, source_of

# Pages that a form accepts; a search ends earlier, see SearchView.
MAX_PAGE = 10_000


class KnowledgeSearchField(forms.CharField):
    """A search text that every search accepts: some words, at most 10,000 characters, none that Postgres cannot store.

    >>> class Filter(forms.Form):
    ...     q = KnowledgeSearchField(label="Search")
    """

    widget = forms.TextInput(attrs={"type": "search"})
    default_error_messages = {"required": "Type what you are looking for."}

    def __init__(self, *, max_length: int = MAX_QUERY_CHARACTERS, **options: Any) -> None:
        super().__init__(max_length=min(max_length, MAX_QUERY_CHARACTERS), **options)

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value in self.empty_values:
            return
        try:
            checked_text(value)
        except SearchError as error:
            raise ValidationError(str(error), code="invalid") from error


class SearchForm(forms.Form):
    """What the search page asks for: a text, and, where several models are searched, one of them.

    Args:
        sources: the source models that are searched.
    """

    q = KnowledgeSearchField(label="Search")
    model = forms.ChoiceField(label="In", required=False)
    page = forms.IntegerField(required=False, min_value=1, max_value=MAX_PAGE, widget=forms.HiddenInput)

    def __init__(self, *args: Any, sources: Sequence[Source], **options: Any) -> None:
        super().__init__(*args, **options)
        choices = [(source.label, str(source.model._meta.verbose_name_plural).capitalize()) for source in sources]
        model: Any = self.fields["model"]
        model.choices = [("", "Everything"), *choices]
        if len(choices) < 2:
            del self.fields["model"]


class CompletingSelect(forms.Select):
    """A select that renders the chosen row alone and asks ``CompletionView`` for others while somebody types.

    It uses the files of ``django.contrib.admin``, which must be installed. Without JavaScript nothing can be chosen.
    """

    def __init__(self, model: type[models.Model], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.model = model

    @property
    def media(self) -> forms.Media:
        vendor = "admin/js/vendor"
        return forms.Media(
            js=[
                f"{vendor}/jquery/jquery.min.js",
                f"{vendor}/select2/select2.full.min.js",
                "admin/js/jquery.init.js",
                "admin/js/autocomplete.js",
            ],
            css={"screen": ["admin/css/vendor/select2/select2.min.css", "admin/css/autocomplete.css"]},
        )

    def build_attrs(self, base_attrs: dict[str, Any], extra_attrs: dict[str, Any] | None = None) -> dict[str, Any]:
        attrs = super().build_attrs(base_attrs, extra_attrs)
        label = source_of(self.model).label
        return {
            **attrs,
            "class": f"{attrs.get('class', '')} admin-autocomplete".strip(),
            "data-ajax--cache": "true",
            "data-ajax--delay": 250,
            "data-ajax--type": "GET",
            "data-ajax--url": reverse("pgknowbase_pages:complete", args=[label]),
            "data-allow-clear": str(not self.is_required).lower(),
            "data-placeholder": "",
            "data-theme": "default",
        }

    def optgroups(self, name: str, value: list[str], attrs: dict[str, Any] | None = None) -> list[Any]:
        field_choices: Any = self.choices  # of a ModelChoiceField
        options: list[Any] = [] if self.is_required else [self.create_option(name, "", "", not any(value), 0)]
        for choice, label in _chosen(field_choices, value):
            options.append(self.create_option(name, choice, label, True, len(options)))
        return [(None, options, 0)]


class KnowledgeChoiceField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """One row of a source model, chosen by completion among those that the viewer may see.

    >>> class Reference(forms.Form):
    ...     article = KnowledgeChoiceField(Article)
    ...
    ...     def __init__(self, *args, user, **options):
    ...         super().__init__(*args, **options)
    ...         self.fields["article"].viewer = user

    Args:
        model: the source model.
        viewer: the user; None sees public rows alone.
    """

    def __init__(self, model: type[models.Model], *, viewer: Viewer = None, **options: Any) -> None:
        super().__init__(model._default_manager.none(), **{"widget": CompletingSelect(model), **options})
        self._model, self._viewer = model, viewer

    def __deepcopy__(self, memo: dict[int, Any]) -> "KnowledgeChoiceField":
        # Each form has a copy. The field itself is made with its class, when no database can be asked yet.
        copied: Any = super().__deepcopy__(memo)
        copied.viewer = self._viewer
        return copied  # type: ignore[no-any-return]

    @property
    def viewer(self) -> Viewer:
        """Whose rights hold; setting it decides what may be chosen."""
        return self._viewer

    @viewer.setter
    def viewer(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.queryset = searchable(self._model._default_manager.all()).seen_by(viewer)


def _chosen(choices: Any, value: Iterable[str]) -> Iterable[tuple[Any, str]]:
    """The chosen rows, by the field that the choices belong to: not all of them, which may be many."""
    field = choices.field
    wanted = [one for one in value if one]
    try:
        found = choices.queryset.filter(**{f"{field.to_field_name or 'pk'}__in": wanted})
        return [choices.choice(row) for row in found]
    except (ValueError, TypeError, ValidationError):  # not a key: the field refuses it
        return []
