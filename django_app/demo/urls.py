"""The search page at /, the admin at /admin/."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("demo.library.urls")),
    path("admin/", admin.site.urls),
]
