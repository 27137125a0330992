"""Comparing source rows with the index, and healing what differs."""
