"""The relay: from outbox events to documents.

In reading order: ``relay`` claims events and locks objects; ``outbox`` says where a claim starts; ``expansion`` finds
the rows that a related row concerns; ``rendering`` calls the hooks of the rows that ``loading`` loads, of which
``default_document`` is the default; ``hook_costs`` measures the hooks; ``writing`` stores what differs.
"""
