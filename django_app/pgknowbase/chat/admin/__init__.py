"""Chats in Django's admin: sessions with their messages, to be read, export_columns and deleted. Needs no extra."""

from pgknowbase.chat.admin.messages import ChatMessageAdmin
from pgknowbase.chat.admin.sessions import ChatSessionAdmin

__all__ = ["ChatMessageAdmin", "ChatSessionAdmin"]
