#!/usr/bin/env python
"""Runs the demo's commands on this machine: debug on, and an embedded Postgres unless DATABASE_URL is set.

A production process (``demo.wsgi``, ``demo.asgi``) gets neither unless its environment asks for them.
"""

import os
import signal
import sys
from pathlib import Path

HELP = {"-h", "--help", "help", "--version", "version"}


def main() -> None:
    """Set the development defaults and hand over to Django; SIGTERM exits cleanly, as Ctrl-C does."""
    # The folder above the project, so that "demo" and "pgknowbase" are importable from a checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
    if not HELP.intersection(sys.argv[1:]):
        os.environ.setdefault("DJANGO_DEBUG", "1")
        os.environ.setdefault("DEMO_DATABASE", "embedded")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
