"""One page."""

from django.urls import path

from demo.library.views import search

app_name = "library"
urlpatterns = [path("", search, name="search")]
