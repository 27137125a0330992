"""Django signals that the relay sends after its commit. An error of a receiver is logged and has no other effect.

Each is sent with ``sender`` (the source model) and ``object_key``; ``external_data_synced`` also with ``outcome``
(created, updated or metadata) and ``external_data_id``, ``external_data_failed`` with ``error``.

``worker_heartbeat`` is sent with each heartbeat of a worker, from the heartbeat's thread, with ``using``.
"""

from django.dispatch import Signal

external_data_synced = Signal()
external_data_removed = Signal()
external_data_failed = Signal()
worker_heartbeat = Signal()
