"""Examinations of a database and its project: what is wrong, and what mends it. Nothing is changed."""
