"""The site and the worker, until Ctrl-C."""

import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from demo.library.tour.processes import ManagedProcess

USERNAME = "demo"
HOST = "127.0.0.1"
START_SECONDS = 30.0


def demo_password() -> str:
    """Create or reset the superuser ``demo`` and return its new random password."""
    password = secrets.token_urlsafe(12)
    users = get_user_model()._default_manager
    user, _ = users.get_or_create(username=USERNAME)
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save()
    return password


def serve(port: int, logs: Path, write: Callable[[str], object]) -> None:
    """Keep a worker and the site running; returns on Ctrl-C.

    Raises:
        CommandError: one of the two ended by itself.
    """
    address = f"http://{HOST}:{port}"
    quiet = {"DJANGO_DEBUG": "0"}
    with (
        ManagedProcess("pgknowbase_worker", log=logs / "worker.log", environment=quiet) as worker,
        ManagedProcess(
            "runserver",
            "--noreload",
            f"{HOST}:{port}",
            log=logs / "site.log",
            environment={"DJANGO_DEBUG": "1"},
        ) as site,
    ):
        _wait_for(address, site)
        write(f"Search  {address}/")
        write(f"Chat    {address}/chat/  for the same user as the admin")
        write(f"Admin   {address}/admin/  user {USERNAME}, password {demo_password()}")
        write("Change a docstring in the admin or by psql and search for it. Ctrl-C stops everything.")
        try:
            while worker.is_running() and site.is_running():
                time.sleep(0.5)
        except KeyboardInterrupt:
            write("\nStopping.")
            return
        raise CommandError(f"The worker or the site stopped: look into {logs}.")


def _wait_for(address: str, site: ManagedProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    while site.is_running():
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310  (always http, on this machine)
                return
        except (urllib.error.URLError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise CommandError(f"{address} did not answer ({error}): look at {site.log}.") from error
            time.sleep(0.1)
    raise CommandError(f"The site did not start: look at {site.log}.")
