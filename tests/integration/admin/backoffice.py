"""URLs of a project with an admin site of its own, in which one source model has pages."""

from django.contrib.admin import AdminSite, site
from django.urls import path

from pgknowbase.admin import ExternalDataAdmin
from pgknowbase.models import ExternalData
from tests.projects.blog.models import Article

backoffice = AdminSite(name="backoffice")
backoffice.register(ExternalData, ExternalDataAdmin)
backoffice.register(Article)

urlpatterns = [path("admin/", site.urls), path("backoffice/", backoffice.urls)]
