"""Embedding spaces: ``specification``, ``lifecycle`` (add, activate, roll back, drop) and vector ``indexes``."""
