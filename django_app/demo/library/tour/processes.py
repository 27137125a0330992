"""Child processes that never outlive the demo."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings
from django.core.management.base import CommandError

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
STOP_TIMEOUT = 20.0
TAIL_LINES = 15


class ManagedProcess:
    """``manage.py <arguments>`` in the background, its output in a file; stopped when the block is left.

    It gets a session of its own: Ctrl-C reaches the demo alone, which then stops its children in order.
    """

    def __init__(self, *arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.arguments = arguments
        self.log = log
        self._environment = {**os.environ, "DJANGO_SECRET_KEY": settings.SECRET_KEY, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(MANAGE), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def is_running(self) -> bool:
        """Whether the process still runs.

        Raises:
            CommandError: it ended with an error; the message holds the end of its output.
        """
        if self._process is None:
            return False
        code = self._process.poll()
        if code:
            raise CommandError(f"'manage.py {' '.join(self.arguments)}' ended with {code}:\n{self._tail()}")
        return code is None

    def stop(self) -> None:
        """Terminate it, and kill it if it takes longer than ``STOP_TIMEOUT`` seconds."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        except BaseException:  # A second Ctrl-C while waiting.
            process.kill()
            process.wait()
            raise

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
