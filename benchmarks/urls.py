"""The API, for the benchmark ``streams``."""

from django.urls import include, path

urlpatterns = [path("api/", include("pgknowbase.api.urls"))]
