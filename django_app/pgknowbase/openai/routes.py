"""The routes: models, chat completions, embeddings."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from ninja import Router

from pgknowbase.agents.registry import agents_for
from pgknowbase.api.authentication import Caller, get_caller
from pgknowbase.api.events import event_stream
from pgknowbase.api.links import site_of
from pgknowbase.api.problems import Problem
from pgknowbase.api.streams import open_streams
from pgknowbase.chat.models import ChatSession
from pgknowbase.chat.routes import as_problems
from pgknowbase.chat.store import check_question
from pgknowbase.conf import get_settings
from pgknowbase.core.text import short_repr
from pgknowbase.errors import NoModelError, UnknownAgentError
from pgknowbase.openai.completions import Delta, Part, agent_parts, chat_parts, task_parts
from pgknowbase.openai.embeddings import embed
from pgknowbase.openai.errors import error_of, refuse
from pgknowbase.openai.messages import Conversation, read_conversation
from pgknowbase.openai.schemas import (
    Completion,
    CompletionAnswer,
    CompletionChoice,
    CompletionModel,
    CompletionModels,
    CompletionRequest,
    VectorsRequest,
    VectorsResponse,
)

CHAT = "pgknowbase"
# For how long a stream's first part is waited for, so that what fails until then is an HTTP status. Not longer: proxies
# close what is silent for a minute.
FIRST_PART_SECONDS = 10.0
STREAMED = {
    "responses": {
        200: {
            "description": "The answer; with `stream` chunks of it as server-sent events, and at last `[DONE]`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    }
}

router = Router(tags=["openai"])


@router.get("models", response=CompletionModels, operation_id="listModels")
def list_models(request: HttpRequest) -> CompletionModels:
    """The chat and the agents that the caller may ask."""
    return CompletionModels(data=usable_models(get_caller(request)))


@router.get("models/{path:model}", response=CompletionModel, operation_id="retrieveModel")
def retrieve_model(request: HttpRequest, model: str) -> CompletionModel:
    """One of them."""
    found = next((each for each in usable_models(get_caller(request)) if each.id == model), None)
    if found is None:
        raise unknown_model(model)
    return found


@router.post("chat/completions", response=Completion, operation_id="createChatCompletion", openapi_extra=STREAMED)
async def create_chat_completion(request: HttpRequest, body: CompletionRequest) -> Any:
    """Answer the last message as the token's user, from what that user may see."""
    parts = await sync_to_async(answer_parts)(request, body)
    head = Head(f"chatcmpl-{uuid4().hex}", int(time.time()), body.model)
    if not body.stream:
        stream = open_streams.open(request)
        try:
            return await head.whole(parts)
        finally:
            stream.close()
    if isinstance(request, ASGIRequest):
        # Under WSGI the parts come from another event loop than this one.
        parts = await after_first_part(parts)
    usage = bool(body.stream_options and body.stream_options.include_usage)
    return event_stream(request, head.chunks(parts, usage=usage), failure=Data.of_problem)


@router.post("embeddings", response=VectorsResponse, operation_id="createEmbedding")
def create_embedding(request: HttpRequest, body: VectorsRequest) -> VectorsResponse:
    """Embed texts with the model of the active embedding space."""
    caller = get_caller(request)
    caller.require("search")
    stream = open_streams.open(request)
    try:
        return embed(body, caller.user.pk if caller.user else "")
    finally:
        stream.close()


# Models


def usable_models(caller: Caller) -> list[CompletionModel]:
    """The chat and the agents that the caller may ask, as far as their token goes."""
    found = []
    if _may(caller, "chat"):
        found.append(CompletionModel(id=CHAT, description="Answers from the knowledge base, with citations."))
    if _may(caller, "agents") and _has_agents():
        for agent, _ in agents_for(caller.user):
            try:
                agent.model_name()
            except NoModelError:
                continue
            found.append(CompletionModel(id=agent.name, description=agent.description))
    return found


def unknown_model(name: str) -> Problem:
    """The problem of a model that there is not, or not for this caller: it does not tell which."""
    detail = f"The model {short_repr(name)} does not exist: see GET /models."
    return refuse(detail, "/model", status=404, kind="model-not-found")


def _may(caller: Caller, scope: str) -> bool:
    return caller.token is not None and scope in caller.token.scopes


def _has_agents() -> bool:
    return find_spec("pydantic_ai") is not None


# Answers


def answer_parts(request: HttpRequest, body: CompletionRequest) -> AsyncGenerator[Part]:
    """The parts of an answer, of which none is made yet: what can be refused is refused before.

    Raises:
        Problem: 400, 403, 404 or 429.
    """
    caller, asked = get_caller(request), read_conversation(body.messages)
    site = site_of(request)
    if body.model == CHAT:
        caller.require("chat")
        return _chat_parts(caller.user, asked, body, site)
    if not _has_agents():
        raise unknown_model(body.model)
    caller.require("agents")
    return _agent_parts(caller.user, asked, body)


def _chat_parts(user: Any, asked: Conversation, body: CompletionRequest, site: str) -> AsyncGenerator[Part]:
    if asked.is_task:
        return task_parts(user, asked, body.model_settings)
    with as_problems():
        check_question(asked.question)
    session = None
    if body.metadata and body.metadata.chat_session is not None:
        key = _uuid(body.metadata.chat_session)
        sessions = ChatSession.objects.using(get_settings().database).select_related("user")
        session = sessions.filter(pk=key, user=user).first() if key else None
        if session is None:
            raise refuse("There is no such chat of yours: start one.", "/metadata/chat_session", status=404)
    return chat_parts(user, asked, body.model_settings, site=site, session=session)


def _agent_parts(user: Any, asked: Conversation, body: CompletionRequest) -> AsyncGenerator[Part]:
    # The extra.
    from pgknowbase.api.orchestrator.access import check_budgets
    from pgknowbase.api.orchestrator.agents import usable_agent
    from pgknowbase.api.orchestrator.schemas import LONGEST_PROMPT

    if len(asked.question) > LONGEST_PROMPT:
        raise refuse(f"The last message has more than {LONGEST_PROMPT} characters: shorten it.", "/messages")
    try:
        agent = usable_agent(body.model, user)
    except UnknownAgentError:
        raise unknown_model(body.model) from None
    check_budgets(agent.name, user.pk)
    return agent_parts(agent, user, asked, body.model_settings, streamed=bool(body.stream))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# The form of an answer: a whole, or chunks


@dataclass(frozen=True, slots=True)
class Data:
    """One event of OpenAI's streams, which have no names."""

    text: str

    def encoded(self) -> bytes:
        """The event on the wire."""
        return f"data: {self.text}\n\n".encode()

    @classmethod
    def of_problem(cls, problem: Problem) -> "Data":
        """The last event of a stream that failed."""
        return cls(error_of(json.loads(problem.body)).model_dump_json())


@dataclass(frozen=True, slots=True)
class Head:
    """What the whole answer and each chunk of it have in common."""

    id: str
    created: int
    model: str

    async def whole(self, parts: AsyncGenerator[Part]) -> Completion:
        """The answer as a whole."""
        text, end = "", None
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, Delta):
                    text += part.text
                else:
                    end = part
        if end is None:
            raise RuntimeError("an answer ended without its end")
        message = CompletionAnswer(content=text, annotations=end.annotations)
        choice = CompletionChoice(message=message, finish_reason=end.finish_reason)
        return Completion(id=self.id, created=self.created, model=self.model, choices=[choice], usage=end.usage)

    async def chunks(self, parts: AsyncGenerator[Part], *, usage: bool) -> AsyncGenerator[Data]:
        """The answer in chunks."""
        more = {"usage": None} if usage else {}
        yield self._chunk({"role": "assistant", "content": ""}, **more)
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, Delta):
                    if part.text:
                        yield self._chunk({"content": part.text}, **more)
                    continue
                if part.annotations:
                    annotations = [each.model_dump() for each in part.annotations]
                    yield self._chunk({"annotations": annotations}, **more)
                yield self._chunk({}, part.finish_reason, **more)
                if usage:
                    yield self._data(choices=[], usage=part.usage.model_dump())
        yield Data("[DONE]")

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> Data:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return self._data(choices=[choice], **more)

    def _data(self, **fields: Any) -> Data:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return Data(json.dumps({**head, **fields}))


async def after_first_part(parts: AsyncGenerator[Part]) -> AsyncGenerator[Part]:
    """``parts``, after its first one or ``FIRST_PART_SECONDS``: what fails before that can still be a status.

    Raises:
        Problem, PgKnowbaseError: as the first part.
    """
    first = asyncio.ensure_future(anext(parts))
    try:
        await asyncio.wait({first}, timeout=FIRST_PART_SECONDS)
        if first.done():
            first.result()
    except BaseException:
        await _end(first, parts)
        raise

    async def all_parts() -> AsyncGenerator[Part]:
        try:
            yield await first
            async for part in parts:
                yield part
        finally:
            await _end(first, parts)

    return all_parts()


async def _end(first: "asyncio.Future[Part]", parts: AsyncGenerator[Part]) -> None:
    # A generator that is still running cannot be closed.
    first.cancel()
    await asyncio.wait({first})
    await parts.aclose()
