"""Capture: ``triggers`` on the watched tables, their SQL (``compiler``), and how they get into users' migrations."""
