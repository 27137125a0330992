"""An admin site in which source rows have pages too."""

from django.contrib.admin import AdminSite, ModelAdmin
from django.urls import path

from pgknowbase.admin import ExternalDataAdmin
from pgknowbase.chat.admin import ChatMessageAdmin, ChatSessionAdmin
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.models import ExternalData
from tests.projects.blog.models import Article

site = AdminSite()
site.register(ChatSession, ChatSessionAdmin)
site.register(ChatMessage, ChatMessageAdmin)
site.register(ExternalData, ExternalDataAdmin)
site.register(Article, ModelAdmin)
urlpatterns = [path("admin/", site.urls)]
