"""The public conformance suite of MCP against the project: ``@modelcontextprotocol/conformance`` 0.1.16 of npm.

It needs Node 22. Its programs are found on the PATH, or in the folder of npm that PGKNOWBASE_CONFORMANCE names.
"""

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from django.core.asgi import get_asgi_application

from tests.integration.api.conftest import _unthrottled, library, token_of, users  # noqa: F401
from tests.integration.search.conftest import index, provider  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)

PASSES = {
    *("server-initialize", "ping", "tools-list", "resources-list", "server-sse-multiple-streams"),
    "dns-rebinding-protection",
}
# What does not apply, by its reason.
NOT_OURS = {
    "calls tools that the suite asks a server to have": {
        *("tools-call-simple-text", "tools-call-image", "tools-call-audio", "tools-call-embedded-resource"),
        *("tools-call-mixed-content", "tools-call-with-logging", "tools-call-error", "tools-call-with-progress"),
        *("tools-call-sampling", "tools-call-elicitation", "elicitation-sep1034-defaults", "elicitation-sep1330-enums"),
    },
    "reads resources that the suite asks a server to have": {
        *("resources-read-text", "resources-read-binary", "resources-templates-read"),
    },
    "a server without sessions tells nobody of changes": {"resources-subscribe", "resources-unsubscribe"},
    "the server has no prompts": {
        *("prompts-list", "prompts-get-simple", "prompts-get-with-args", "prompts-get-embedded-resource"),
        "prompts-get-with-image",
    },
    "the server completes nothing": {"completion-complete"},
    "logging is deprecated in the protocol, and not offered": {"logging-set-level"},
}


def programs():
    folder = os.environ.get("PGKNOWBASE_CONFORMANCE")
    if folder is None:
        return shutil.which("node"), shutil.which("conformance")
    modules = Path(folder) / "node_modules"
    return modules / "node" / "bin" / "node", modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


@pytest.fixture
def address(library, users):  # noqa: F811
    """A server of the project, whose requests have a token, because the suite sends none."""
    secret = token_of(users["root"], "search")
    project = get_asgi_application()

    async def application(scope, receive, send):
        headers = [*scope["headers"], (b"authorization", f"Bearer {secret}".encode())]
        await project({**scope, "headers": headers}, receive, send)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://localhost:{listening.getsockname()[1]}/mcp/"
        server.should_exit = True
        thread.join()


def test_what_applies_passes(address, tmp_path, settings):
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
    node, suite = programs()
    if not (node and suite):
        pytest.skip("needs MCP's conformance suite")
    command = [node, suite, "server", "--url", address, "--output-dir", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    results = dict(re.findall(r"^[✓✗] ([\w-]+): \d+ passed, (\d+) failed", done.stdout, re.MULTILINE))
    assert {name for name, failed in results.items() if failed == "0"} == PASSES, done.stdout
    assert results.keys() - PASSES == set().union(*NOT_OURS.values())
