"""The two protocols: what a request asks, and how an answer is written. pydantic-ai reads and writes both."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from ag_ui.core import AssistantMessage, Message, RunErrorEvent, UserMessage
from pydantic import TypeAdapter, ValidationError
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelRequest, TextContent, TextPart, UserPromptPart
from pydantic_ai.tools import ToolApproved, ToolDenied
from pydantic_ai.ui import UIAdapter, UIEventStream
from pydantic_ai.ui.ag_ui import AGUIAdapter
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from pydantic_ai.ui.vercel_ai.request_types import SourceDocumentUIPart, SourceUrlUIPart, TextUIPart, UIMessage
from pydantic_ai.ui.vercel_ai.response_types import ErrorChunk, SourceDocumentChunk, SourceUrlChunk

from pgknowbase.api.problems import Problem
from pgknowbase.chat.links import citation_id
from pgknowbase.chat.models import ChatMessage

MOST_ERRORS = 10
NAMES_OF_USERS = {"deps", "user", "user_id"}
REFUSED = "A person refused this call: answer without it."


@dataclass(frozen=True, slots=True)
class Source:
    """What a marker of an answer names: an entry of ``ChatMessage.citations``, and the page of its row, if it has one.

    ``page`` is a whole address.
    """

    citation: dict[str, Any]
    page: str | None

    @property
    def id(self) -> str:
        """It differs between the passages of one object."""
        return f"{citation_id(self.citation)}#{self.citation['chunk']}"

    @property
    def place(self) -> dict[str, Any]:
        """The number of its marker, and the passage."""
        known = self.citation
        return {"number": known["number"], "id": citation_id(known), "start": known["start"], "end": known["end"]}


@dataclass(kw_only=True)
class Asked:
    """What a request asks for, in texts: what else a client claims, such as earlier calls of tools, is not believed.

    Attributes:
        prompt: of the user; empty where the request only decides on tool calls.
        turns: earlier questions and answers, oldest first.
        decisions: by tool call id, True for an approved call and the reason for a refused one.
    """

    prompt: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)
    decisions: dict[str, bool | str] = field(default_factory=dict)
    stream: UIEventStream[Any, Any, Any, Any]


class FrontEnd(Protocol):
    """One protocol."""

    def read(self, body: bytes, accept: str | None) -> Asked:
        """What a request asks.

        Raises:
            Problem: 400 or 422.
        """

    def source(self, source: Source) -> Any:
        """The event of a source."""

    def error(self, text: str) -> Any:
        """The event of a stream that has failed."""

    def history(self, messages: Iterable[tuple[ChatMessage, list[Source]]]) -> list[Any]:
        """The messages of a chat, as the front end keeps them."""


@dataclass(frozen=True, slots=True)
class VercelAI:
    """The data stream of the Vercel AI SDK; approvals are part of it from version 6 on."""

    version: Any = 6

    def read(self, body: bytes, accept: str | None) -> Asked:
        """As ``FrontEnd.read``."""
        return _read(VercelAIAdapter, body, accept, sdk_version=self.version)

    def source(self, source: Source) -> Any:
        """A chunk, from which the SDK makes a part of the message."""
        title, place = source.citation["title"], {"pgknowbase": source.place}
        if source.page:
            return SourceUrlChunk(source_id=source.id, url=source.page, title=title, provider_metadata=place)
        return SourceDocumentChunk(
            source_id=source.id, media_type="text/plain", title=title or source.id, provider_metadata=place
        )

    def error(self, text: str) -> Any:
        """A chunk after which the SDK throws."""
        return ErrorChunk(error_text=text)

    def history(self, messages: Iterable[tuple[ChatMessage, list[Source]]]) -> list[Any]:
        """``UIMessage`` as JSON."""
        told = [
            UIMessage(
                id=str(message.pk),
                role=cast(Any, message.role),
                parts=[TextUIPart(text=message.content, state="done"), *map(_source_part, sources)],
            )
            for message, sources in messages
        ]
        return [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in told]


@dataclass(frozen=True, slots=True)
class AGUI:
    """The events of AG-UI, in the version that the client names, or the newest one."""

    def read(self, body: bytes, accept: str | None) -> Asked:
        """As ``FrontEnd.read``."""
        return _read(AGUIAdapter, body, accept)

    def source(self, source: Source) -> Any:
        """The value of a custom event: the protocol has no event of its own for it."""
        return {**source.place, "title": source.citation["title"], "url": source.page}

    def error(self, text: str) -> Any:
        """The last event."""
        return RunErrorEvent(message=text)

    def history(self, messages: Iterable[tuple[ChatMessage, list[Source]]]) -> list[Any]:
        """``Message`` as JSON."""
        kinds = {"user": UserMessage, "assistant": AssistantMessage}
        told = [kinds[each.role](id=str(each.pk), content=each.content) for each, _ in messages]
        return cast(list[Any], _ag_ui_messages.dump_python(told, mode="json", by_alias=True, exclude_none=True))


_ag_ui_messages: TypeAdapter[list[Message]] = TypeAdapter(list[Message])


def _source_part(source: Source) -> SourceUrlUIPart | SourceDocumentUIPart:
    place: Any = {"pgknowbase": source.place}
    title = source.citation["title"]
    if source.page:
        return SourceUrlUIPart(source_id=source.id, url=source.page, title=title, provider_metadata=place)
    return SourceDocumentUIPart(
        source_id=source.id, media_type="text/plain", title=title or source.id, provider_metadata=place
    )


# Reading a request


def _read(kind: type[UIAdapter[Any, Any, Any, Any, Any]], body: bytes, accept: str | None, **options: Any) -> Asked:
    try:
        _refuse_users(_object.validate_json(body))
        # The agent is asked by us, with its permissions, budgets and rows, so the adapter needs none.
        adapter = kind(agent=cast(Any, None), run_input=kind.build_run_input(body), accept=accept, **options)
        asked = Asked(stream=adapter.build_event_stream(), decisions=_decisions(adapter))
        messages = adapter.messages
    except ValidationError as error:
        raise _unreadable(error) from error
    except UserError as error:
        raise Problem(422, "validation", f"{error} Correct the request.") from error
    asked.turns, asked.prompt = _turns(messages)
    if kind is VercelAIAdapter and asked.prompt:
        asked.decisions = {}  # the messages repeat those of earlier requests
    return asked


_object: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def _refuse_users(body: dict[str, Any]) -> None:
    """The protocols let programs send more than they define. Whom they may not name is the user."""
    if named := NAMES_OF_USERS & body.keys():
        name = min(named)
        errors = [{"where": "body", "pointer": f"/{name}", "detail": "Not allowed here."}]
        raise Problem(422, "validation", f"A front end acts as its user: leave {name!r} out.", errors=errors)


def _unreadable(error: ValidationError) -> Problem:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(each["type"] == "json_invalid" for each in found):
        return Problem(400, "json", "The body is not JSON: correct it.")
    errors = [
        {"where": "body", "pointer": "".join(f"/{part}" for part in each["loc"]), "detail": each["msg"]}
        for each in found[:MOST_ERRORS]
    ]
    return Problem(422, "validation", "The body is not a request of this protocol: see `errors`.", errors=errors)


def _decisions(adapter: UIAdapter[Any, Any, Any, Any, Any]) -> dict[str, bool | str]:
    results = adapter.deferred_tool_results
    decisions: dict[str, bool | str] = {}
    for call_id, told in (results.approvals if results else {}).items():
        if isinstance(told, ToolApproved) and told.override_args is not None:
            raise Problem(422, "validation", "The arguments of a call cannot be changed: approve it or refuse it.")
        if isinstance(told, ToolDenied):
            decisions[call_id] = told.message
        else:
            decisions[call_id] = True if told is True or isinstance(told, ToolApproved) else REFUSED
    return decisions


def _turns(messages: Iterable[ModelMessage]) -> tuple[list[tuple[str, str]], str]:
    """Questions with their answers, and what the user says after them."""
    turns: list[tuple[str, str]] = []
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            waiting += [_text(part) for part in message.parts if isinstance(part, UserPromptPart)]
        else:
            # An answer may come in several parts, with tools called between them, and may have no text yet.
            text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
            if waiting:
                turns.append(("\n\n".join(waiting), text))
            elif turns and text:
                question, earlier = turns.pop()
                turns.append((question, f"{earlier}\n\n{text}".strip()))
            waiting = []
    return [turn for turn in turns if turn[1]], "\n\n".join(waiting).strip()


def _text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    texts = [each if isinstance(each, str) else getattr(each, "content", None) for each in part.content]
    if not all(isinstance(each, str | TextContent) for each in part.content):
        raise Problem(422, "validation", "Only texts can be read, not images or files: leave the others out.")
    return "\n".join(map(str, texts))


def as_json(event: Any) -> Any:
    """A model of ours as what pydantic-ai can send."""
    return json.loads(event.model_dump_json())
