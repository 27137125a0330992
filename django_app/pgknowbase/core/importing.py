"""Imports at the first use, by requests and runs that may be several at once."""

from threading import RLock

# Held by whoever imports a large package at its first use. Modules that import each other in circles, as those of
# pydantic-ai do, can be entered by one thread at a time: a second one that enters elsewhere finds half a module.
importing = RLock()
