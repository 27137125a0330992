"""Child processes: workers that wait for the word, and the embedding server."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

PATIENCE = 30.0


class Child:
    """``python -m <arguments>``, which speaks line by line."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **(environment or {})},
        )

    def expect(self, word: str) -> str:
        """Read up to the line that begins with ``word``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word):
                return line.strip()
        raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()} instead of saying {word!r}")

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Close its input and wait; a child that stays is terminated, then killed."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        for insist in (self.process.terminate, self.process.kill, lambda: None):
            try:
                self.process.wait(PATIENCE)
                break
            except subprocess.TimeoutExpired:
                insist()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def workers(kinds: list[str], environment: Mapping[str, str] | None = None) -> Iterator[list[Child]]:
    """Workers of ``benchmarks.child`` that have imported everything and wait for ``go``."""
    with ExitStack() as stack:
        children = []
        for kind in kinds:
            child = Child("benchmarks.child", *kind.split(), environment=environment)
            stack.callback(child.end)
            children.append(child)
        for child in children:
            child.expect("ready")
        yield children


@dataclass(frozen=True)
class EmbeddingServer:
    """A running embedding server: its base URL and its process."""

    url: str
    pid: int


@contextmanager
def embedding_server() -> Iterator[EmbeddingServer]:
    """``benchmarks.embedding_server`` with the static model."""
    child = Child("benchmarks.embedding_server", "--port", "0")
    try:
        yield EmbeddingServer(child.expect("Serving").rpartition(" ")[2], child.process.pid)
    finally:
        child.process.terminate()
        child.end()
