"""From the OpenAPI document to a TypeScript client: its types, and a class with a method per operation."""

import json
import re
from collections.abc import Iterator
from typing import Any

HEAD = """\
// Made by 'manage.py pgknowbase_openapi --format typescript'. Do not edit.

import { BaseClient } from "./runtime.js";
import type { CallOptions, PostOptions } from "./runtime.js";

export type { FieldProblem, ProblemDetails } from "./problem.js";
export { ProblemError } from "./runtime.js";
export type { CallOptions, ClientOptions, PostOptions } from "./runtime.js";
"""
SCALARS = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}
REFERENCE = "#/components/schemas/"
IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
# In typescript/problem.ts, which the client's runtime reads too.
BY_HAND = {"FieldProblem", "ProblemDetails"}
# Types without a route that names them.
ALWAYS = ("ModelIntegrationStatus", "ExternalDataMetaConfig")

Schema = dict[str, Any]


def client_of(document: Schema) -> str:
    """The module ``client.ts`` of a document whose paths are relative to where the API is mounted."""
    operations = list(_operations(document))
    queries = [_interface(f"{_pascal(one['operationId'])}Query", _query(one)) for one in operations if _query(one)]
    schemas = document["components"]["schemas"]
    needed = _reachable(operations, schemas) - BY_HAND
    types = [_declaration(name, schemas[name]) for name in sorted(needed)]
    methods = "\n\n".join(_method(one) for one in operations)
    return "\n".join([HEAD, *types, *queries, f"export class KnowbaseClient extends BaseClient {{\n{methods}\n}}"])


def _operations(document: Schema) -> Iterator[Schema]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not _streams(operation):
                yield {**operation, "path": path.lstrip("/"), "method": method.upper()}


def _streams(operation: Schema) -> bool:
    """Whether it only streams events, which the client has no method for."""
    bodies = [one.get("content", {}) for status, one in operation["responses"].items() if str(status).startswith("2")]
    return any("text/event-stream" in body and "application/json" not in body for body in bodies)


def _reachable(operations: list[Schema], schemas: Schema) -> set[str]:
    parts = [[one.get("requestBody"), one["responses"], _query(one)] for one in operations]
    waiting, found = [*_references(parts), *ALWAYS], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(schemas[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.removeprefix(REFERENCE)
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _references(part)


def _query(operation: Schema) -> Schema | None:
    """The parameters of the query string, as the schema of an object."""
    found = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    if not found:
        return None
    return {
        "properties": {one["name"]: one["schema"] for one in found},
        "required": [one["name"] for one in found if one.get("required")],
    }


def _declaration(name: str, schema: Schema) -> str:
    if "properties" in schema:
        return _interface(name, schema)
    return f"{_comment(schema, '')}export type {name} = {_type(schema)};\n"


def _interface(name: str, schema: Schema | None) -> str:
    schema = schema or {}
    lines = "".join(f"{_comment(field, '  ')}  {line};\n" for line, field in _fields(schema))
    return f"{_comment(schema, '')}export interface {name} {{\n{lines}}}\n"


def _fields(schema: Schema) -> Iterator[tuple[str, Schema]]:
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        shown = name if IDENTIFIER.fullmatch(name) else json.dumps(name)
        yield f"{shown}{'' if name in required else '?'}: {_type(field)}", field


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REFERENCE)
    # pydantic writes Literal of one value as const, of several as enum.
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    for word, sign in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
        if word in schema:
            return sign.join(dict.fromkeys(map(_type, schema[word])))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}) for one in kind)
    if kind == "array":
        return f"Array<{_type(schema.get('items', {}))}>"
    if kind == "object":
        return _object(schema)
    return SCALARS.get(str(kind), "unknown")


def _object(schema: Schema) -> str:
    if "properties" in schema:
        return f"{{ {'; '.join(line for line, _ in _fields(schema))} }}"
    rest = schema.get("additionalProperties", True)
    return f"Record<string, {_type(rest) if isinstance(rest, dict) else 'unknown'}>"


def _method(operation: Schema) -> str:
    name = operation["operationId"]
    posts = operation["method"] != "GET"
    arguments, passed = [], ["...options"]
    if places := [one for one in operation.get("parameters", []) if one["in"] == "path"]:
        fields = "; ".join(f"{one['name']}: {_type(one['schema'])}" for one in places)
        arguments.append(f"path: {{ {fields} }}")
        passed.insert(0, "path")
    if query := _query(operation):
        arguments.append(f"query: {_pascal(name)}Query{'' if query['required'] else ' = {}'}")
        passed.insert(0, "query")
    if body := operation.get("requestBody"):
        arguments.append(f"body: {_type(body['content']['application/json']['schema'])}")
        passed.insert(0, "body")
    arguments.append(f"options: {'PostOptions' if posts else 'CallOptions'} = {{}}")
    result = _response(operation["responses"])
    target = f'"{operation["method"]}", {json.dumps(operation["path"])}'
    return (
        f"{_comment(operation, '  ')}  {name}({', '.join(arguments)}): Promise<{result}> {{\n"
        f"    return this.call<{result}>({target}, {{ {', '.join(passed)} }});\n  }}"
    )


def _response(responses: Schema) -> str:
    good = [one for status, one in responses.items() if str(status).startswith("2")]
    contents = [
        one["content"]["application/json"]["schema"] for one in good if "application/json" in one.get("content", {})
    ]
    return " | ".join(dict.fromkeys(map(_type, contents))) or "void"


def _comment(schema: Schema, indent: str) -> str:
    text = re.sub(r"\s+", " ", str(schema.get("description", "")).replace("*/", "* /")).strip()
    return f"{indent}/** {text} */\n" if text else ""


def _pascal(name: str) -> str:
    return name[:1].upper() + name[1:]
