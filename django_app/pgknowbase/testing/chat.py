"""A provider on localhost that speaks OpenAI's chat completions, with streams and tool calls, and fails as told."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, TypeAlias

from pgknowbase.testing.provider import Fault

_PIECE: Final = 8


@dataclass(frozen=True, slots=True)
class ToolCall:
    """An answer that calls a tool."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


Answer: TypeAlias = str | ToolCall
Script: TypeAlias = Callable[[dict[str, Any]], Answer]


class ChatProvider:
    """Answers chat completions while it is open; use it with ``with``.

    ``requests`` are the bodies that it was sent, ``keys`` their bearer tokens.

    Args:
        model: the model's name in its answers.
        answer: what it says to a request's body; default: the last user message, again.
    """

    def __init__(self, *, model: str = "parrot", answer: Script | None = None) -> None:
        self.model = model
        self.answer: Script = answer or repeated
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._script: deque[Answer] = deque()
        self._next: deque[Fault] = deque()
        self._always: Fault | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL, as ``BASE_URL`` of an entry of ``PROVIDERS``."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def settings(self, **options: Any) -> dict[str, Any]:
        """An entry of ``PROVIDERS`` that reaches it."""
        return {"BASE_URL": self.url, **options}

    def say(self, *answers: Answer) -> None:
        """Answer the next requests so, one each, in this order."""
        self._script.extend(answers)

    def fail_next(self, *faults: Fault) -> None:
        """Answer the next requests with these faults, one each."""
        self._next.extend(faults)

    def fail_always(self, fault: Fault | None) -> None:
        """Answer every request so, after those of ``fail_next``; None ends it."""
        self._always = fault

    def received(self, body: dict[str, Any], key: str) -> tuple[Fault | None, Answer]:
        """Note a request; returns how to answer it."""
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            fault = self._next.popleft() if self._next else self._always
            if fault is not None and fault.kind != "good":
                return fault, ""
            return fault, self._script.popleft() if self._script else self.answer(body)

    def wait(self, seconds: float) -> None:
        """Be slow, unless it closes."""
        self._closing.wait(seconds)


def repeated(body: dict[str, Any]) -> Answer:
    """The last user message, again."""
    said = [message["content"] for message in body["messages"] if message["role"] == "user"]
    return str(said[-1]) if said else "Nothing was said."


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, provider: ChatProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        """``/v1/chat/completions``."""
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        fault, answer = self.server.provider.received(body, key)
        if self.path != "/v1/chat/completions":
            return self._send(404, {"error": {"message": f"No page {self.path!r}."}})
        if fault is not None and fault.seconds:
            self.server.provider.wait(fault.seconds)
        if fault is not None and fault.kind == "status":
            message = {"error": {"message": f"told to answer {fault.status} to the key {key}", "type": "told"}}
            return self._send(fault.status, message, fault.headers)
        if fault is not None and fault.kind == "malformed":
            return self._raw(b'{"id": "x", "choices": [{"mess')
        cut = fault is not None and fault.kind == "cut"
        if body.get("stream"):
            return self._stream(body, answer or "cut off in the middle", cut=cut)
        if cut:
            return self._raw(b'{"id"', promised=100)
        return self._send(200, self._completion(answer, body))

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

    def _send(self, status: int, value: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._raw(json.dumps(value).encode(), status=status, headers=headers)

    def _raw(
        self,
        content: bytes,
        *,
        status: int = 200,
        promised: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(promised or len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
        self.close_connection = self.close_connection or promised is not None


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
