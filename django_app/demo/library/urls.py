"""The search page and the chat page."""

from django.urls import path

from demo.library.views import chat, search

app_name = "library"
urlpatterns = [path("", search, name="search"), path("chat/", chat, name="chat")]
