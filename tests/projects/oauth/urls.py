from django.urls import include, path
from oauth2_provider.urls import metadata_urlpatterns

from tests.urls import urlpatterns

urlpatterns = [
    *urlpatterns,
    path("oauth/", include("oauth2_provider.urls")),
    path("", include((metadata_urlpatterns, "metadata"))),
]
