"""Modules that any app may have and that are imported at start, for what they declare."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from django.apps import apps
from django.utils.module_loading import module_has_submodule

_importing: str | None = None


def import_from_apps(name: str) -> None:
    """Import the module ``name`` of each app that has one."""
    for config in apps.get_app_configs():
        if config.name != "pgknowbase" and config.module is not None and module_has_submodule(config.module, name):
            with importing(f"{config.name}.{name}") as module:
                import_module(module)


@contextmanager
def importing(module: str) -> Iterator[str]:
    """While the block lasts, what is declared is ``module``'s."""
    global _importing
    outer, _importing = _importing, module
    try:
        yield module
    finally:
        _importing = outer


def home() -> str | None:
    """The module that is being imported, whoever began to; None after the start."""
    return _importing
