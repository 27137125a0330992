"""The app of the demo."""

from django.apps import AppConfig


class LibraryConfig(AppConfig):
    """Documentation of Python and Django, searchable by meaning."""

    name = "demo.library"
    verbose_name = "Library documentation"
    default_auto_field = "django.db.models.BigAutoField"
