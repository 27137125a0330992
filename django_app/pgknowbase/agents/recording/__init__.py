"""Rows of runs: begun before the first request, ended whatever happens."""
