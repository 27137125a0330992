"""What entries of the settings describe by class and options, such as embedders: built once per process."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from django.utils.module_loading import import_string

from pgknowbase.errors import ConfigurationError

T = TypeVar("T")


class Entry(Protocol):
    """One entry: the dotted path of the class, and further keyword arguments in capital letters."""

    @property
    def backend(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


class Backends(Generic[T]):
    """The objects of one section, shared by all threads. A changed entry, as in tests, builds another object.

    Args:
        kind: what an entry is, in errors: ``"embedding"``.
        section: its name in ``PGKNOWBASE``: ``"EMBEDDINGS"``.
        base: the class from which the classes that entries name are derived.
        arguments: what of an entry they are built with, beside its options.
    """

    def __init__(self, kind: str, section: str, base: type[Any], arguments: Sequence[str] = ("model",)) -> None:
        self._kind = kind
        self._section = section
        self._base = base
        self._arguments = arguments
        self._built: dict[tuple[str, str], T] = {}
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def get(self, alias: str, entries: Mapping[str, Entry]) -> T:
        """The object of the entry ``alias``.

        Raises:
            ConfigurationError: the alias is unknown, the class cannot be imported, is another, or refuses its options.
        """
        if alias not in entries:
            raise ConfigurationError(
                f"The {self._kind} {alias!r} is unknown; {self._section} has {sorted(entries)!r}: use one of these or"
                " add it."
            )
        entry = entries[alias]
        key = (alias, repr(entry))
        if (found := self._built.get(key)) is not None:
            return found
        # Loading a model takes seconds and hundreds of megabytes: two threads must not do it at once.
        with self._lock:
            if key not in self._built:
                self._built[key] = self._build(alias, entry)
            return self._built[key]

    def built(self) -> list[T]:
        """Every object of this process."""
        return list(self._built.values())

    def forget(self) -> None:
        """Drop them. After a fork: the parent's thread pools and connections do not survive it, nor may its lock."""
        self._built.clear()
        self._lock = threading.Lock()

    def _build(self, alias: str, entry: Entry) -> T:
        named = f"The backend {entry.backend!r} of the {self._kind} {alias!r}"
        try:
            backend = import_string(entry.backend)
        except ImportError as error:
            raise ConfigurationError(f"{named} cannot be imported ({error}): correct BACKEND.") from error
        if not (isinstance(backend, type) and issubclass(backend, self._base)):
            base = self._base.__name__
            package = self._base.__module__.rpartition(".")[0]
            raise ConfigurationError(f"{named} is not a subclass of {base}: derive it from {package}.{base}.")
        arguments = {name: getattr(entry, name) for name in self._arguments}
        options = {name.lower(): value for name, value in entry.options.items()}
        try:
            made: T = backend(**arguments, **options)
        except TypeError as error:
            raise ConfigurationError(
                f"{named} refuses its options {sorted(entry.options)!r} ({error}): correct OPTIONS."
            ) from error
        return made
