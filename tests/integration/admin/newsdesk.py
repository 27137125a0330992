"""URLs of a project whose admin searches source models, with all that a changelist can be."""

from django.contrib import admin
from django.contrib.admin import AdminSite, ModelAdmin
from django.urls import path

from pgknowbase.admin import HybridSearchAdminMixin
from tests.projects.blog.models import Article
from tests.projects.press import models as press

newsdesk = AdminSite(name="newsdesk")


@admin.register(Article, site=newsdesk)
class ArticleAdmin(HybridSearchAdminMixin, ModelAdmin):
    list_display = ["title", "status", "views"]
    list_editable = ["status"]
    list_filter = ["status", "category"]
    list_per_page = 4
    date_hierarchy = "author__date_joined"
    ordering = ["-views"]
    actions = ["archive"]
    show_facets = admin.ShowFacets.ALWAYS

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(author=request.user)

    @admin.action(description="Archive")
    def archive(self, request, queryset):
        self.message_user(request, f"{queryset.update(status='archived')} archived.")


@admin.register(press.Article, site=newsdesk)
class PressArticleAdmin(HybridSearchAdminMixin, ModelAdmin):
    list_filter = ["tags__name"]
    search_fields = ["title", "author__name"]
    search_help_text = "Titles, please."


@admin.register(press.Comment, site=newsdesk)
class CommentAdmin(ModelAdmin):
    autocomplete_fields = ["article"]


urlpatterns = [path("newsdesk/", newsdesk.urls)]
