"""Answers of the chat and of agents as completions: text while it is written, and at last what was cited and used."""

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async

from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.runs.json_values import as_json
from pgknowbase.api.problems import Problem
from pgknowbase.chat import conversation
from pgknowbase.chat.citations import marker_spans
from pgknowbase.chat.conversation import Text
from pgknowbase.chat.links import citation_id, citation_url
from pgknowbase.chat.llm import configured_model, task_agent
from pgknowbase.chat.models import ChatMessage, ChatSession, Usage
from pgknowbase.chat.prompt import as_messages
from pgknowbase.chat.routes import as_problems
from pgknowbase.conf import get_settings
from pgknowbase.openai.messages import Conversation
from pgknowbase.openai.schemas import CompletionAnnotation, CompletionUsage, UrlCitation

FINISH_REASONS = {"length": "length", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the text. The first is empty: from it on the answer is being written."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer."""

    annotations: list[CompletionAnnotation]
    usage: CompletionUsage
    finish_reason: Any


Part: TypeAlias = Delta | Finished


async def chat_parts(
    user: Any, asked: Conversation, settings: dict[str, Any], *, site: str, session: ChatSession | None
) -> AsyncGenerator[Part]:
    """The answer of the chat.

    Args:
        settings: those of pydantic-ai for the language model.
        site: the address that paths of citations are joined to.
        session: it holds the history and keeps question and answer; without it ``asked`` has the history.

    Raises:
        Problem: the chat did not answer.
    """
    if session is None:
        parts = conversation.reply(
            user, asked.question, history=asked.turns, system=asked.system, model_settings=settings
        )
    else:
        parts = conversation.stream(session, asked.question, model_settings=settings)
    text, ends = "", []
    with as_problems():
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, Text):
                    text += part.text
                    ends.append(len(text))
                    yield Delta(part.text)
                elif isinstance(part, conversation.Found):
                    yield Delta("")
                else:
                    yield await sync_to_async(_finished)(part.message, text, ends, user, site)


def _finished(message: ChatMessage, text: str, ends: list[int], user: Any, site: str) -> Finished:
    if message.mode == ChatMessage.Mode.EXTRACTIVE:
        # Brackets within a passage are its own: the marker is what its piece ends with.
        spans = [(number, end - len(f"[{number}]"), end) for number, end in enumerate(ends[1:], 1)]
    else:
        spans = marker_spans(text)
    cited = {each["number"]: each for each in message.citations}
    urls = {number: citation_url(citation, user, site) for number, citation in cited.items()}
    annotations = [
        CompletionAnnotation(
            url_citation=UrlCitation(
                start_index=start,
                end_index=end,
                url=urls[number],
                title=cited[number]["title"],
                id=citation_id(cited[number]),
            )
        )
        for number, start, end in spans
        if number in cited
    ]
    return Finished(annotations, usage_of(message.runs), finish_reason(message.execution))


async def task_parts(user: Any, asked: Conversation, settings: dict[str, Any]) -> AsyncGenerator[Part]:
    """What a program wants made of a conversation, such as a title. Without a language model it is nothing.

    Programs have a title of their own then, such as the first words.
    """
    with as_problems():
        model = configured_model()
    if not model:
        yield Delta("")
        yield Finished([], usage_of(()), "stop")
        return
    async with aclosing(agent_parts(task_agent(), user, asked, settings, streamed=True, model=model)) as parts:
        async for part in parts:
            yield part


async def agent_parts(
    agent: Any, user: Any, asked: Conversation, settings: dict[str, Any], *, streamed: bool, **options: Any
) -> AsyncGenerator[Part]:
    """The answer of an agent: its text, or its output as JSON.

    Args:
        streamed: whether the text comes in pieces.

    Raises:
        Problem: the run did not complete, or waits for a person.
    """
    from pgknowbase.agents import DjangoDeps  # the extra
    from pgknowbase.api.orchestrator.agents import run_events

    options |= {
        "message_history": as_history(asked) or None,
        "model_settings": settings,
        "deps": DjangoDeps.from_user(user),
    }
    if streamed:
        async with aclosing(run_events(agent, asked.question, **options)) as events:
            async for event in events:
                if event.name == "started":
                    yield Delta("")
                elif event.name == "text":
                    yield Delta(event.data.text)
                elif event.name == "waiting":
                    raise approval_needed(event.data.id)
                elif event.name == "result":
                    if agent.output_type is not str:
                        yield Delta(json.dumps(event.data.output, ensure_ascii=False))
                    key = event.data.execution_id
    else:
        result = await agent.run(asked.question, **options)
        key, output = result.execution_id, as_json(result.output)
        yield Delta(output if isinstance(output, str) else json.dumps(output, ensure_ascii=False))
    row = await AgentExecution.objects.using(get_settings().database).aget(pk=key)
    yield Finished([], usage_of([row]), finish_reason(row))


def as_history(asked: Conversation) -> list[Any]:
    """The turns before the question as messages of an earlier run."""
    return as_messages([(turn.question, turn.answer) for turn in asked.turns], system=asked.system)


def approval_needed(execution_id: Any) -> Problem:
    """A person has to decide, which this protocol cannot ask for."""
    return Problem(409, "approval", f"A person has to approve a tool call: decide on the requests of {execution_id}.")


def usage_of(runs: Iterable[Any]) -> CompletionUsage:
    """Tokens and cost of the runs behind an answer."""
    known = list(runs)
    cost = Usage.of(known).cost
    read, written = sum(run.input_tokens for run in known), sum(run.output_tokens for run in known)
    return CompletionUsage(
        prompt_tokens=read,
        completion_tokens=written,
        total_tokens=read + written,
        cost=None if cost is None else float(cost),
    )


def finish_reason(run: Any) -> Any:
    """Why the language model stopped, in OpenAI's words; ``stop`` where none was asked."""
    last = run.messages[-1] if run is not None and run.messages else {}
    return FINISH_REASONS.get(last.get("finish_reason") or "", "stop")
