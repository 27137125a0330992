"""URLs of a site with a search page, one of it over two models alone, and a form with a field that completes."""

from django import forms
from django.http import HttpResponse
from django.template import engines
from django.urls import include, path

from pgknowbase.pages.forms import KnowledgeChoiceField, KnowledgeSearchField
from pgknowbase.pages.views import SearchView
from tests.projects.blog.models import Article, Note

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'"
)
FORM = engines["django"].from_string(
    "<!doctype html><html lang=en><title>Form</title>{{ form.media }}"
    "<form>{{ form }}<button>Send</button></form></html>"
)


class Reference(forms.Form):
    article = KnowledgeChoiceField(Article, required=False)
    text = KnowledgeSearchField(required=False)

    def __init__(self, *args, user, **options):
        super().__init__(*args, **options)
        self.fields["article"].viewer = user


class StrictSearchView(SearchView):
    models = [Article, "blog.note"]
    per_page = 3

    def dispatch(self, request, *args, **kwargs):
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = POLICY
        return response


def reference(request):
    form = Reference(request.GET or None, user=request.user)
    return HttpResponse(FORM.render({"form": form}))


urlpatterns = [
    path("search/", include("pgknowbase.pages.urls")),
    path("strict/", StrictSearchView.as_view(), name="strict"),
    path("notes/", SearchView.as_view(models=[Note]), name="notes"),
    path("reference/", reference, name="reference"),
]
