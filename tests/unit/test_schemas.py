"""Every pydantic model of the package is in pgknowbase.schemas."""

import importlib
import pkgutil
from inspect import isclass

import pytest
from pydantic import BaseModel

import pgknowbase
from pgknowbase import schemas
from pgknowbase.errors import MissingExtraError

# Of settings, which are a dict for whoever writes them, and what others derive from.
LEFT_OUT = {"pgknowbase.conf"}
BASES = {"StrictModel", "Body", "Page"}


def models():
    for found in pkgutil.walk_packages(pgknowbase.__path__, "pgknowbase."):
        if ".migrations" in found.name or ".management" in found.name:
            continue
        try:
            module = importlib.import_module(found.name)
        except MissingExtraError:
            continue
        for name, value in vars(module).items():
            own = isclass(value) and value.__module__ == found.name and found.name not in LEFT_OUT
            if own and issubclass(value, BaseModel) and not name.startswith("_") and name not in BASES:
                yield name


def test_every_model_is_there():
    assert sorted(set(models())) == schemas.__all__


def test_each_can_be_imported():
    for name in schemas.__all__:
        assert issubclass(getattr(schemas, name), BaseModel)
    with pytest.raises(AttributeError, match="has no 'Serch': use one of ActingFor, "):
        schemas.Serch  # noqa: B018
