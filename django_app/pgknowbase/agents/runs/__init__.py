"""Rows of runs: written before the first request, ended whatever happens, alive while their process is."""
