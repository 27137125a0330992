"""Benchmarks of pgknowbase: ``python -m benchmarks --help``; see docs/benchmarks.md. Not shipped in the wheel."""
