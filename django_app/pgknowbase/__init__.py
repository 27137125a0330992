"""Rows become knowledge, inside Postgres.

The way of a row through the packages: ``capture`` (triggers on watched columns write the outbox), ``relay``
(claims outbox events, renders rows, writes documents), ``vectorizer`` (chunks and embeds documents on pgai's
catalog), ``search`` (SQL similarity functions behind managers and querysets).
"""

__version__ = "0.1.0"
