"""Source models: what they declare (``declaration``), the tables involved (``paths``), and their ``registry``."""
