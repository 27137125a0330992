"""Django signals that the relay sends after its commit. A receiver that raises is logged and harms nobody.

Each is sent with ``sender`` (the source model) and ``object_key``; ``external_data_synced`` also with ``outcome``
(created, updated or metadata) and ``external_data_id``, ``external_data_failed`` with ``error``.

``worker_beat`` is sent by each heartbeat of a worker, with ``using``.
"""

from django.dispatch import Signal

external_data_synced = Signal()
external_data_removed = Signal()
external_data_failed = Signal()
worker_beat = Signal()
