"""Argument types of the agents' commands."""

import argparse
import re
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from pgknowbase.conf import get_settings
from pgknowbase.errors import AgentError

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def point_in_time(text: str) -> datetime:
    """Argument type: ``90m``, ``24h``, ``7d`` or ``2w`` ago, or a date, or a date with a time."""
    day = when = None
    try:
        if found := re.fullmatch(r"(\d{1,6})([mhdw])", text):
            return timezone.now() - timedelta(**{UNITS[found[2]]: int(found[1])})
        day, when = parse_date(text), parse_datetime(text)
    except (ValueError, OverflowError):  # the 31st of February; before the year 1
        pass
    if when is None and day is not None:
        when = datetime(day.year, day.month, day.day)
    if when is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 24h, 7d, or a date such as 2026-01-31")
    return timezone.make_aware(when) if timezone.is_naive(when) else when


def positive_seconds(text: str) -> float:
    """Argument type: a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def find_user(name_or_id: str) -> Any:
    """The user with that name, else with that id.

    Raises:
        AgentError: there is none.
    """
    model = get_user_model()
    users = model._default_manager.using(get_settings().database)
    found = users.filter(**{model.USERNAME_FIELD: name_or_id}).first()
    if found is None and name_or_id.isascii() and name_or_id.isdigit():
        found = users.filter(pk=name_or_id).first()
    if found is None:
        raise AgentError(f"User {name_or_id!r} does not exist: give a name or an id.")
    return found
