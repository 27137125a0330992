"""What an ONNX file says of itself: inputs, outputs and further files, read without its weights.

System checks look at models with each command that starts, so they neither load one nor read its hundreds of megabytes:
the file is a protocol buffer (``onnx.proto``), whose long fields are skipped by their length.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pgknowbase.errors import ConfigurationError

# ``TensorProto.DataType`` and what numpy calls it.
INTEGERS: Final = {6: "int32", 7: "int64"}
FLOATS: Final = {1: "float32", 10: "float16", 11: "float64"}
NUMPY_TYPES: Final = {**INTEGERS, **FLOATS, 9: "bool"}

_LFS: Final = b"version https://git-lfs"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Part = tuple[int, int]  # begin and end in the file


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: ``kind`` is a ``TensorProto.DataType``, ``shape`` has None for a size that varies, and is
    None where nothing is said."""

    name: str
    kind: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Header:
    """Of a graph: its inputs, its outputs, and the names of the files that hold weights of it."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    external: frozenset[str]


def read_header(path: Path) -> Header:
    """The header of an ONNX file.

    Raises:
        ConfigurationError: it cannot be read, or is not ONNX.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[: len(_LFS)] == _LFS:
                raise ConfigurationError(
                    f"{str(path)!r} is a pointer of Git LFS, not the model: run `git lfs pull` in its folder."
                )
            return _header(data)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error.strerror or error}): correct that.") from error
    except (ValueError, IndexError) as error:  # also mmap's, for an empty file
        raise ConfigurationError(
            f"{str(path)!r} is not a whole ONNX file ({error}): copy or export the model anew."
        ) from error


def _header(data: mmap.mmap) -> Header:
    graphs = [part for number, part in _fields(data, (0, len(data))) if number == 7]
    if not graphs:
        raise ValueError("it has no graph")
    inputs, outputs, weights, external = [], [], set(), set()
    for number, part in _fields(data, graphs[-1]):
        if number == 11:
            inputs.append(_port(data, part))
        elif number == 12:
            outputs.append(_port(data, part))
        elif number == 5:
            name, location = _tensor(data, part)
            weights.add(name)
            external.update(location)
    if not outputs:
        raise ValueError("its graph has no outputs")
    # Up to version 3 of the format, weights are named among the inputs too.
    return Header(tuple(port for port in inputs if port.name not in weights), tuple(outputs), frozenset(external))


def _port(data: mmap.mmap, part: Part) -> Port:
    fields = dict(_fields(data, part))
    tensor = dict(_fields(data, dict(_fields(data, fields[2])).get(1, (0, 0)))) if 2 in fields else {}
    kind = _number(data, tensor[1]) if 1 in tensor else 0
    shape = None
    if 2 in tensor:
        sizes = [dict(_fields(data, size)) for number, size in _fields(data, tensor[2]) if number == 1]
        shape = tuple(_number(data, size[1]) if 1 in size else None for size in sizes)
    return Port(_text(data, fields[1]) if 1 in fields else "", kind, shape)


def _tensor(data: mmap.mmap, part: Part) -> tuple[str, set[str]]:
    """The name of a tensor, and the file that holds its values, if that is another."""
    name, location = "", set()
    for number, field in _fields(data, part):
        if number == 8:
            name = _text(data, field)
        elif number == 13:
            entry = dict(_fields(data, field))
            if 1 in entry and 2 in entry and _text(data, entry[1]) == "location":
                location.add(_text(data, entry[2]))
    return name, location


def _fields(data: mmap.mmap, part: Part) -> Iterator[tuple[int, Part]]:
    """The fields of a message: their numbers, and where their values are."""
    position, end = part
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        begin = position
        if wire == _VARINT:
            _, position = _varint(data, position)
        elif wire == _BYTES:
            length, begin = _varint(data, position)
            position = begin + length
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"no such kind of field: {wire}")
        if not number or position > end:
            raise ValueError("a part of it is missing" if number else "no such field")
        yield number, (begin, position)


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("no such number")


def _number(data: mmap.mmap, part: Part) -> int:
    return _varint(data, part[0])[0]


def _text(data: mmap.mmap, part: Part) -> str:
    return data[part[0] : part[1]].decode()
