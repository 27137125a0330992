"""What the routes take and give."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pgknowbase.chat.models import ChatMessage, ChatSession, Usage
from pgknowbase.chat.retrieval import Passage
from pgknowbase.knowledge import Span


class NewChatSession(BaseModel):
    """A chat to begin. Without a title it gets that of its first question."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field("", max_length=200)


class ChatQuestion(BaseModel):
    """What to answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Annotated[str, Field(min_length=1, examples=["How do triggers work?"])]


class ChatPageParameters(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0, le=1_000_000)


class ChatUsage(BaseModel):
    """``cost``: US dollars as a decimal number; null where a price is unknown."""

    tokens_used: int
    cost: str | None

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Of runs."""
        return cls(tokens_used=usage.tokens, cost=None if usage.cost is None else f"{usage.cost:f}")


class ChatSessionSummary(BaseModel):
    """One of the caller's chats."""

    id: UUID
    title: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, session: ChatSession) -> Self:
        """The row."""
        return cls(id=session.pk, title=session.title, created_at=session.created_at, updated_at=session.updated_at)


class ChatSessionDetail(BaseModel):
    """A chat, with what all its answers came to."""

    session: ChatSessionSummary
    usage: ChatUsage


class ChatSessionPage(BaseModel):
    """Chats, the one with the latest message first."""

    results: list[ChatSessionSummary]
    next_offset: int | None


class ChatCitation(BaseModel):
    """What ``[number]`` in the text names: a chunk of an object, and where it stands in the object's text."""

    number: int
    id: str = Field(examples=["blog.Article:12"])
    model: str
    object_key: str
    title: str
    chunk: int = Field(description="Its place among the object's chunks, from 0.")
    span: Span


class ChatEntry(BaseModel):
    """A message. ``mode`` tells how an answer was made: by a model, of passages as they are, or that none is known."""

    id: int
    role: Literal["user", "assistant"]
    content: str
    reply_to: int | None = Field(description="The question of an answer.")
    mode: Literal["model", "extractive", "unknown", "failed"] | None
    search_query: str = Field(description="What was searched for.")
    citations: list[ChatCitation]
    dropped: list[str] = Field(description="Markers of the model that named nothing; they are not in the text.")
    usage: ChatUsage
    created_at: datetime

    @classmethod
    def of(cls, message: ChatMessage) -> Self:
        """The row."""
        return cls.model_validate(
            {
                "id": message.pk,
                "role": message.role,
                "content": message.content,
                "reply_to": message.reply_to_id,
                "mode": message.mode or None,
                "search_query": message.search_query,
                "citations": [citation_of(each) for each in message.citations],
                "dropped": message.dropped,
                "usage": ChatUsage.of(message.usage),
                "created_at": message.created_at,
            }
        )


class ChatMessagePage(BaseModel):
    """Messages, in their order."""

    results: list[ChatEntry]
    next_offset: int | None


class CitedPassage(BaseModel):
    """A citation with the text of its object as it is now."""

    citation: ChatCitation
    before: str
    text: str
    after: str


def citation_of(stored: dict[str, object]) -> ChatCitation:
    """A citation as it is kept in a message."""
    return ChatCitation.model_validate({**stored, "id": f"{stored['model']}:{stored['object_key']}", "span": stored})


def offered(passages: tuple[Passage, ...]) -> list[ChatCitation]:
    """The passages that an answer may cite."""
    return [citation_of(passage.citation(number)) for number, passage in enumerate(passages, 1)]
