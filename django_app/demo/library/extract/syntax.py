"""One source file by ``ast``: its definitions, its ``__all__`` and what it imports by name."""

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from demo.library.extract.records import Definition

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class NameImport:
    """``from target import name as alias``; ``name`` may be ``*``, or ``starred`` if it came from one."""

    target: str
    name: str
    alias: str
    starred: bool = False


@dataclass(frozen=True, slots=True)
class ParsedModule:
    """``definitions`` has the top-level names as keys and a class with its methods as one value."""

    name: str
    is_package: bool
    docstring: str
    declared: frozenset[str] | None
    definitions: Mapping[str, Sequence[Definition]]
    imports: Sequence[NameImport]

    def exposes(self, name: str) -> bool:
        """Whether ``name`` has no leading underscore and is in ``__all__``, if there is one."""
        return not name.startswith("_") and (self.declared is None or name in self.declared)


def parse_module(name: str, path: Path) -> ParsedModule:
    """Parse ``path`` without importing it.

    Raises:
        SyntaxError: the file is not valid for this Python.
    """
    tree = ast.parse(path.read_bytes(), filename=str(path))
    is_package = path.name == "__init__.py"
    package = name if is_package else name.rpartition(".")[0]
    definitions: dict[str, Sequence[Definition]] = {}
    imports: list[NameImport] = []
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef):
            definitions.setdefault(node.name, list(_class_definitions(node)))
        elif isinstance(node, FunctionNode):
            definitions.setdefault(node.name, [_function_definition(node)])
        elif isinstance(node, ast.ImportFrom):
            target = _absolute(node, package)
            imports += [NameImport(target, a.name, a.asname or a.name) for a in node.names]
        elif (assigned := _assigned_docstring(node)) is not None:
            definitions.setdefault(assigned.name, [assigned])
    return ParsedModule(name, is_package, ast.get_docstring(tree) or "", _declared(tree), definitions, imports)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.body)
            yield from _statements(node.orelse)
            if isinstance(node, ast.Try):
                for handler in node.handlers:
                    yield from _statements(handler.body)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parent = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parent, node.module] if node.module else parent)


def _declared(tree: ast.Module) -> frozenset[str] | None:
    """``__all__`` where it is a plain list of strings; a computed one counts as none."""
    names: set[str] = set()
    for node in _statements(tree.body):
        match node:
            case ast.Assign(targets=[ast.Name("__all__")], value=value):
                pass
            case ast.AugAssign(target=ast.Name("__all__"), value=value):
                pass
            case ast.Expr(ast.Call(func=ast.Attribute(value=ast.Name("__all__")))):
                return None
            case _:
                continue
        if not isinstance(value, ast.List | ast.Tuple):
            return None
        names |= {e.value for e in value.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)}
    return frozenset(names) or None


def _assigned_docstring(node: ast.stmt) -> Definition | None:
    """``name.__doc__ = "..."``: how functions made by other functions are documented."""
    match node:
        case ast.Assign(
            targets=[ast.Attribute(value=ast.Name(name), attr="__doc__")], value=ast.Constant(str(docstring))
        ):
            return Definition("function", name, "", inspect.cleandoc(docstring), node.lineno)
    return None


def _class_definitions(node: ast.ClassDef) -> Iterator[Definition]:
    """The class itself, the docstring of its ``__init__`` folded in, then its public methods."""
    functions = [child for child in _statements(node.body) if isinstance(child, FunctionNode)]
    init = next((f for f in functions if f.name == "__init__"), None)
    texts = [ast.get_docstring(node), ast.get_docstring(init) if init else None]
    signature = _signature(init, bound=True) if init else ""
    yield Definition("class", node.name, signature, "\n\n".join(t for t in texts if t), node.lineno)
    for function in functions:
        if not function.name.startswith("_"):
            yield _function_definition(function, owner=node.name)


def _function_definition(node: FunctionNode, *, owner: str = "") -> Definition:
    name = f"{owner}.{node.name}" if owner else node.name
    decorators = {ast.unparse(d).rpartition(".")[2] for d in node.decorator_list}
    bound = bool(owner) and "staticmethod" not in decorators
    signature = "" if {"property", "cached_property"} & decorators else _signature(node, bound=bound)
    return Definition("method" if owner else "function", name, signature, ast.get_docstring(node) or "", node.lineno)


def _signature(node: FunctionNode, *, bound: bool) -> str:
    """``(a, b=1, *, c) -> int``; ``bound`` leaves the first argument (``self``) out."""
    arguments = node.args
    if bound:
        positional = arguments.posonlyargs or arguments.args
        del positional[:1]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    return inspect.cleandoc(f"({ast.unparse(arguments)}){returns}")
