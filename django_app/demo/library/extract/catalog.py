"""From parsed and live modules to the records of one library."""

from collections.abc import Iterable, Iterator, Mapping

from demo.library.extract.exports import ExportMap
from demo.library.extract.live import inspect_module
from demo.library.extract.records import (
    MIN_DOCSTRING,
    Definition,
    EntryRecord,
    Library,
    LibraryRecords,
    ModuleRecord,
)
from demo.library.extract.sources import (
    PUBLIC_ALIASES,
    find_extensions,
    find_sources,
    is_extension,
    is_public,
)
from demo.library.extract.syntax import ParsedModule, parse_module


def extract_library(library: Library, *, limit: int | None = None) -> LibraryRecords:
    """The documented public names of ``library``.

    ``limit`` keeps that many entries: first those closest to the top of their package, classes and functions
    before methods. The result depends on nothing but the installed files.
    """
    modules = _read_modules(library)
    entries = _unique(entry for entry in _public_entries(library, modules) if _is_documented(entry))
    kept = sorted(entries, key=_importance)[:limit]
    return LibraryRecords(_module_records(library, modules, kept), sorted(kept, key=lambda e: e.qualname))


def _read_modules(library: Library) -> dict[str, ParsedModule]:
    """Source modules parsed; the C modules beside and behind those of the standard library, inspected."""
    modules = {name: parse_module(name, path) for name, path in find_sources(library)}
    if library == "python":
        behind = {item.target for module in modules.values() for item in module.imports} - modules.keys()
        for name in sorted({*find_extensions(), *filter(is_extension, behind)}):
            modules[name] = inspect_module(name)
    return modules


def _public_entries(library: Library, modules: Mapping[str, ParsedModule]) -> Iterator[EntryRecord]:
    for (origin, name), (module, alias) in ExportMap(modules).public_places().items():
        for definition in modules[origin].definitions[name]:
            yield _entry(library, module, definition, name, alias)


def _entry(library: Library, module: str, definition: Definition, name: str, alias: str) -> EntryRecord:
    local = alias + definition.name.removeprefix(name)
    return EntryRecord(
        library=library,
        module=_public(module),
        kind=definition.kind,
        qualname=f"{_public(module)}.{local}",
        signature=definition.signature,
        docstring=definition.docstring,
        line=definition.line,
    )


def _public(module: str) -> str:
    return PUBLIC_ALIASES.get(module, module)


def _is_documented(entry: EntryRecord) -> bool:
    """Whether the docstring is long enough and more than a copy of the signature."""
    repeats = "\n" not in entry.docstring and entry.docstring.startswith(f"{entry.name}(")
    return len(entry.docstring) >= MIN_DOCSTRING[entry.kind] and not repeats


def _unique(entries: Iterable[EntryRecord]) -> list[EntryRecord]:
    """One entry per name, and one per text: methods that only repeat another's docstring are left out."""
    names: dict[str, EntryRecord] = {}
    for entry in entries:
        names.setdefault(entry.qualname, entry)
    texts: dict[tuple[str, str], EntryRecord] = {}
    for entry in sorted(names.values(), key=_importance):
        texts.setdefault((entry.name, entry.docstring), entry)
    return list(texts.values())


def _importance(entry: EntryRecord) -> tuple[int, int, str]:
    return entry.module.count(".") + (entry.kind == "method"), len(entry.module), entry.qualname


def _module_records(
    library: Library, modules: Mapping[str, ParsedModule], entries: Iterable[EntryRecord]
) -> list[ModuleRecord]:
    """Every module that has an entry or a docstring of its own."""
    docstrings = {entry.module: "" for entry in entries}
    for name, module in modules.items():
        if is_public(name) and (len(module.docstring) >= MIN_DOCSTRING["module"] or _public(name) in docstrings):
            docstrings[_public(name)] = docstrings.get(_public(name)) or module.docstring
    return [ModuleRecord(library, name, docstrings[name]) for name in sorted(docstrings)]
