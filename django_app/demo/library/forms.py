"""The search form."""

from typing import Any

from django import forms

from demo.library.models import Kind, Library
from demo.library.search import MODULE_KIND

MAX_QUERY = 300


class SearchForm(forms.Form):
    """A query in plain words and two filters."""

    q = forms.CharField(
        label="Search",
        max_length=MAX_QUERY,
        error_messages={"required": "Type what you are looking for."},
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "read a gzip file line by line"}),
    )
    library = forms.ChoiceField(label="Library", required=False, choices=[("", "All libraries"), *Library.choices])
    kind = forms.ChoiceField(
        label="Kind", required=False, choices=[("", "All kinds"), (MODULE_KIND, "Module"), *Kind.choices]
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_bound:
            self.fields["q"].widget.attrs["autofocus"] = True
