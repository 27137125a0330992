"""A provider on localhost that speaks OpenAI's chat completions, with streams, tool calls and scripted failures."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

from pgknowbase.testing.http import JSONHandler, LocalServer
from pgknowbase.testing.provider import Fault

_PIECE: Final = 8


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A scripted answer that calls a tool."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


Answer: TypeAlias = str | ToolCall
Script: TypeAlias = Callable[[dict[str, Any]], Answer]


class ChatProvider:
    """A server of chat completions, for a ``with`` block.

    ``requests`` are the bodies that it received, ``keys`` their bearer tokens.

    Args:
        model: the model's name in its answers.
        answer: a function from a request's body to the answer; by default it repeats the last user message.
    """

    def __init__(self, *, model: str = "parrot", answer: Script | None = None) -> None:
        self.model = model
        self.answer: Script = answer or repeat_last_message
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._script: deque[Answer] = deque()
        self._next: deque[Fault] = deque()
        self._always: Fault | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.stop()

    @property
    def url(self) -> str:
        """The base URL, as ``BASE_URL`` of an entry of ``PROVIDERS``."""
        return self._server.url

    def settings(self, **options: Any) -> dict[str, Any]:
        """An entry of ``PROVIDERS`` that reaches it."""
        return {"BASE_URL": self.url, **options}

    def say(self, *answers: Answer) -> None:
        """Answer the next requests with these, one each, in this order."""
        self._script.extend(answers)

    def fail_next(self, *faults: Fault) -> None:
        """Answer the next requests with these faults, one each."""
        self._next.extend(faults)

    def fail_always(self, fault: Fault | None) -> None:
        """Answer every request with this fault, after those of ``fail_next``; None ends it."""
        self._always = fault

    def received(self, body: dict[str, Any], key: str) -> tuple[Fault | None, Answer]:
        """Record a request; returns how to answer it."""
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            fault = self._next.popleft() if self._next else self._always
            if fault is not None and fault.kind != "good":
                return fault, ""
            return fault, self._script.popleft() if self._script else self.answer(body)

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than until the provider closes."""
        self._closing.wait(seconds)


def repeat_last_message(body: dict[str, Any]) -> Answer:
    """Repeat the last user message."""
    said = [message["content"] for message in body["messages"] if message["role"] == "user"]
    return str(said[-1]) if said else "Nothing was said."


class _Server(LocalServer):
    def __init__(self, provider: ChatProvider) -> None:
        self.provider = provider
        super().__init__(_Handler)


class _Handler(JSONHandler):
    server: _Server

    def do_POST(self) -> None:
        """``/v1/chat/completions``."""
        body = self.read_json()
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        fault, answer = self.server.provider.received(body, key)
        if self.path != "/v1/chat/completions":
            return self.send_json(404, {"error": {"message": f"No page {self.path!r}."}})
        if fault is not None and fault.seconds:
            self.server.provider.wait(fault.seconds)
        if fault is not None and fault.kind == "status":
            message = {"error": {"message": f"told to answer {fault.status} to the key {key}", "type": "told"}}
            return self.send_json(fault.status, message, fault.headers)
        if fault is not None and fault.kind == "malformed":
            return self.send_content(b'{"id": "x", "choices": [{"mess')
        cut = fault is not None and fault.kind == "cut"
        if body.get("stream"):
            return self._stream(body, answer or "cut off in the middle", cut=cut)
        if cut:
            return self.send_content(b'{"id"', promised=100)
        return self.send_json(200, self._completion(answer, body))

    def _completion(self, answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer}
        if isinstance(answer, ToolCall):
            message = {"role": "assistant", "content": None, "tool_calls": [_call(answer)]}
        choice = {"index": 0, "message": message, "finish_reason": _reason(answer), "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(body, answer)}

    def _stream(self, body: dict[str, Any], answer: Answer, *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head = self._head("chat.completion.chunk")
        deltas = list(_deltas(answer))
        for delta in deltas[: len(deltas) // 2] if cut else deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            self._event({**head, "choices": [choice]})
        if cut:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self._event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": _reason(answer)}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            self._event({**head, "choices": [], "usage": _usage(body, answer)})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "chat-1", "object": kind, "created": int(time.time()), "model": self.server.provider.model}

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()


def _call(answer: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(answer.arguments))
    return {"id": f"call-{answer.name}", "type": "function", "function": {"name": answer.name, "arguments": arguments}}


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if isinstance(answer, ToolCall) else ""}
    if isinstance(answer, str):
        for start in range(0, len(answer), _PIECE):
            yield {"content": answer[start : start + _PIECE]}
        return
    call = _call(answer)
    whole = call["function"].pop("arguments")
    yield {"tool_calls": [{**call, "index": 0, "function": {**call["function"], "arguments": ""}}]}
    for start in range(0, len(whole), _PIECE):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": whole[start : start + _PIECE]}}]}


def _reason(answer: Answer) -> str:
    return "tool_calls" if isinstance(answer, ToolCall) else "stop"


def _usage(body: dict[str, Any], answer: Answer) -> dict[str, int]:
    prompt = sum(len(str(message.get("content") or "").split()) for message in body["messages"])
    said = 5 if isinstance(answer, ToolCall) else len(answer.split())
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
