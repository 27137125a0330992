"""The search page at /, the chat at /chat/ and /chat/react/, the admin at /admin/, the API at /api/docs."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("demo.library.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("pgknowbase.api.urls")),
]
