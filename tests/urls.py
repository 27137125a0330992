from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("pgknowbase.api.urls")),
    path("v1/", include("pgknowbase.openai.urls")),
    path("mcp/", include("pgknowbase.mcp.urls")),
]
