"""The search page and the chat pages."""

from django.urls import path

from demo.library.views import chat, react_chat, search

app_name = "library"
urlpatterns = [
    path("", search, name="search"),
    path("chat/", chat, name="chat"),
    path("chat/react/", react_chat, name="react-chat"),
]
