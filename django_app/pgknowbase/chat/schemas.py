"""Requests and responses of the routes."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field

from pgknowbase.chat.models import ChatMessage, ChatSession, Usage
from pgknowbase.chat.retrieval import Passage
from pgknowbase.core.strict import StrictModel
from pgknowbase.core.times import Instant
from pgknowbase.search.schemas import Span


class NewChatSession(StrictModel):
    """A chat to start. Without a title it gets that of its first question."""

    title: str = Field("", max_length=200)


class ChatQuestion(StrictModel):
    """A question."""

    question: Annotated[str, Field(min_length=1, examples=["How do triggers work?"])]


class ChatPageParameters(StrictModel):
    """The part of a list that is returned."""

    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0, le=1_000_000)


class ChatUsage(BaseModel):
    """``cost``: US dollars as a decimal number; null where a price is unknown."""

    tokens_used: int
    cost: str | None

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """From the usage of runs."""
        return cls(tokens_used=usage.tokens, cost=None if usage.cost is None else f"{usage.cost:f}")


class ChatSessionSummary(BaseModel):
    """One of the caller's chats."""

    id: UUID
    title: str
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, session: ChatSession) -> Self:
        """From its row."""
        return cls(id=session.pk, title=session.title, created_at=session.created_at, updated_at=session.updated_at)


class ChatSessionDetail(BaseModel):
    """A chat, with the tokens and cost of its answers."""

    session: ChatSessionSummary
    usage: ChatUsage


class ChatSessionPage(BaseModel):
    """Chats, the one with the latest message first."""

    results: list[ChatSessionSummary]
    next_offset: int | None


class ChatCitation(BaseModel):
    """What ``[number]`` in the text names: a chunk of an object, and its place in the object's text."""

    number: int
    id: str = Field(examples=["blog.Article:12"])
    model: str
    object_key: str
    title: str
    chunk: int = Field(description="Its place among the object's chunks, from 0.")
    span: Span


class ChatEntry(BaseModel):
    """A message. ``mode`` tells how an answer was made; it is null for a question."""

    id: int
    role: Literal["user", "assistant"]
    content: str
    reply_to: int | None = Field(description="The question of an answer.")
    mode: Literal["model", "extractive", "unknown", "failed"] | None
    search_query: str = Field(description="What was searched for.")
    citations: list[ChatCitation]
    dropped: list[str] = Field(description="Markers that did not name a passage; they were removed from the text.")
    usage: ChatUsage
    created_at: Instant

    @classmethod
    def of(cls, message: ChatMessage) -> Self:
        """From its row."""
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


class ChatFound(BaseModel):
    """Event of a stream: what was searched for, and the passages that the answer may cite."""

    query: str
    passages: list[ChatCitation]


class ChatText(BaseModel):
    """Event of a stream: the next piece of the answer."""

    text: str


class ChatMessagePage(BaseModel):
    """Messages, in their order."""

    results: list[ChatEntry]
    next_offset: int | None


class CitedPassage(BaseModel):
    """A citation with the current text of its object."""

    citation: ChatCitation
    before: str
    text: str
    after: str


def citation_of(stored: dict[str, object]) -> ChatCitation:
    """A citation, from the JSON that a message stores."""
    return ChatCitation.model_validate({**stored, "id": f"{stored['model']}:{stored['object_key']}", "span": stored})


def passage_citations(passages: tuple[Passage, ...]) -> list[ChatCitation]:
    """The passages that an answer may cite, as citations."""
    return [citation_of(passage.citation(number)) for number, passage in enumerate(passages, 1)]
