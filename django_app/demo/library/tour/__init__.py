"""The steps of ``manage.py demo``, each usable by itself."""
