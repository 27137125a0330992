"""The search page, and completions below it, under a path of the project's choice.

>>> urlpatterns = [path("search/", include("pgknowbase.pages.urls"))]
"""

from django.urls import path

from pgknowbase.pages.completion import CompletionView
from pgknowbase.pages.views import SearchView

app_name = "pgknowbase_pages"
urlpatterns = [
    path("", SearchView.as_view(), name="search"),
    path("complete/<str:model>/", CompletionView.as_view(), name="complete"),
]
