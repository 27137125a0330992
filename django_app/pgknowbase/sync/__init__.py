"""Synchronising without an event: ``backfill`` of a row or a model, ``selection``, ``requests``, ``waiting``."""
