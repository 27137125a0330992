"""Parameters and responses of the routes for front ends. Bodies are those of the protocols."""

from typing import Any

from pydantic import BaseModel, Field


class VercelAIParameters(BaseModel):
    """Which front end asks."""

    version: int = Field(6, ge=5, le=7, description="Major version of the Vercel AI SDK; 5 knows no approvals.")


class MessagesForVercelAI(BaseModel):
    """Messages of a chat, oldest first: the `messages` of `useChat`."""

    messages: list[dict[str, Any]] = Field(description="`UIMessage` of the Vercel AI SDK.")


class MessagesForAGUI(BaseModel):
    """Messages of a chat, oldest first: the `initialMessages` of a client of AG-UI."""

    messages: list[dict[str, Any]] = Field(description="`Message` of AG-UI.")
