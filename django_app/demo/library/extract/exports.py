"""Under which public name each definition is known: ``asyncio.run``, not ``asyncio.runners.run``."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from demo.library.extract.sources import is_public
from demo.library.extract.syntax import NameImport, ParsedModule

Place: TypeAlias = tuple[str, str]
"""A module's dotted name and a top-level name in it."""


class ExportMap:
    """Follows ``from x import y`` between the parsed modules."""

    def __init__(self, modules: Mapping[str, ParsedModule]) -> None:
        self._modules = modules
        self._names: dict[Place, Place | None] = {}
        self._known: dict[str, dict[str, NameImport]] = {}

    def public_places(self) -> dict[Place, Place]:
        """Where each definition is defined -> its best public place; private definitions are left out."""
        best: dict[Place, Place] = {}
        for module in self._modules.values():
            if not is_public(module.name):
                continue
            for name in self._public_names(module):
                origin = self._origin(module.name, name)
                if origin is not None:
                    place = (module.name, name)
                    best[origin] = min(best.get(origin, place), place, key=_rank)
        return best

    def _public_names(self, module: ParsedModule) -> Iterator[str]:
        for name in module.definitions:
            if module.exposes(name):
                yield name
        for name, item in self._imported(module).items():
            if module.exposes(name) and _is_reexport(module, item):
                yield name

    def _imported(self, module: ParsedModule) -> dict[str, NameImport]:
        """Names that ``module`` imports, ``*`` expanded."""
        if module.name in self._known:
            return self._known[module.name]
        found: dict[str, NameImport] = {}
        self._known[module.name] = found
        for item in module.imports:
            target = self._modules.get(item.target)
            if item.name != "*":
                found.setdefault(item.alias, item)
            elif target is not None:
                names = [*target.definitions, *self._imported(target)]
                for name in names:
                    if target.exposes(name):
                        found.setdefault(name, NameImport(item.target, name, name, starred=True))
        return found

    def _origin(self, module_name: str, name: str) -> Place | None:
        place = (module_name, name)
        if place in self._names:
            return self._names[place]
        self._names[place] = None
        module = self._modules.get(module_name)
        if module is None:
            return None
        if name in module.definitions:
            self._names[place] = place
        elif (item := self._imported(module).get(name)) is not None:
            self._names[place] = self._origin(item.target, item.name)
        return self._names[place]


def _is_reexport(module: ParsedModule, item: NameImport) -> bool:
    """A package offers what its parts define; a module what it declares or stars from a private one."""
    inside = module.is_package and item.target.startswith(f"{module.name}.")
    return inside or module.declared is not None or (item.starred and not is_public(item.target))


def _rank(place: Place) -> tuple[int, int, str]:
    module, _ = place
    return module.count("."), len(module), module
