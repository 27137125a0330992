"""Examinations of a project and its database: what is wrong, and how to repair it. They change nothing."""
