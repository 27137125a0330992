"""Reactions: functions and agents that run in the worker after a committed change of a row.

The way of a change: a trigger (``triggers``) writes an event, ``intake`` turns events into deliveries, one for each
reaction and row, the ``reactor`` takes those that are due, ``run`` calls the function and records what came of it.
"""

from pgknowbase.reactions.change import Change
from pgknowbase.reactions.registry import on_change

__all__ = ["Change", "on_change"]
