"""What the providers for tests have in common: an HTTP server on a free port of localhost that answers with JSON."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class LocalServer(ThreadingHTTPServer):
    """Answers in threads of its own between ``start`` and ``stop``."""

    daemon_threads = True
    block_on_close = False
    # A test may open hundreds of connections at once.
    request_queue_size = 512

    def __init__(self, handler: type["JSONHandler"]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """The base URL for clients of OpenAI's API."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def start(self) -> None:
        """Serve until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests and free the port."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tests break connections on purpose, so a client that went away is not an error."""


class JSONHandler(BaseHTTPRequestHandler):
    """Reads JSON, writes JSON, and breaks off when told to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body leave in one packet

    def read_json(self) -> Any:
        """The body of the request."""
        return json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))

    def send_json(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with ``value``; NaN, which JSON does not have, is written as Python writes it."""
        self.send_content(json.dumps(value).encode(), status=status, headers=headers)

    def send_content(
        self,
        content: bytes,
        *,
        status: int = 200,
        promised: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with ``content``; where more bytes were ``promised``, the connection ends in the middle."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(promised or len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
        self.close_connection = self.close_connection or promised is not None

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the output belongs to the test."""
