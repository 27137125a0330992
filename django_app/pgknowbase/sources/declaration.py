"""What a source model declares, ``ExternalDataMeta`` validated by pydantic, and the hooks of its rows."""

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pgknowbase.sources.synonyms import Synonyms


class ExternalDataMetaConfig(BaseModel):
    """The keys of a model's ``ExternalDataMeta``.

    ``watch_fields``: paths such as ``author__name`` whose changes cause the row to be rendered anew.
    ``similarity_threshold``: the similarity, in [0, 1], below which a search that names none does not return the row.
    ``auto_sync``: whether triggers are installed. ``is_public``: whether everybody may find the rows.
    ``owner_field``: path to the user who may find a row that is not public.
    ``refresh_after``: after which time a document that depends on the date is rendered anew.
    ``language``: the text search configuration of the rows' words, or None for ``SEARCH["LANGUAGE"]``.
    ``synonyms``: phrases that mean the same in queries for these rows, as tuples, or as dicts from a phrase to others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    watch_fields: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    similarity_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    auto_sync: bool = True
    is_public: bool = False
    owner_field: str | None = None
    source_type: Literal["model", "api", "custom"] = "model"
    refresh_after: Annotated[timedelta, Field(gt=timedelta(0))] | None = None
    language: Annotated[str, Field(min_length=1)] | None = None
    synonyms: Synonyms = ()

    @field_validator("watch_fields", mode="before")
    @classmethod
    def _not_one_string(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"write a list of names, such as [{value!r}]")
        return value

    @field_validator("watch_fields")
    @classmethod
    def _no_double(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        doubles = sorted({name for name in value if value.count(name) > 1})
        if doubles:
            raise ValueError(f"{', '.join(map(repr, doubles))} is named twice")
        return value

    @classmethod
    def from_class(cls, declared: type) -> "ExternalDataMetaConfig":
        """Read the keys of an ``ExternalDataMeta`` class, inherited ones included.

        Raises:
            pydantic.ValidationError: a key or a value is wrong.
        """
        # Every row that is rendered asks; a declaration that has changed since, as in a test, is read again.
        known = _READ.get(declared)
        if known is None or any(vars(klass) != values for klass, values in known[0]):
            said = [(klass, dict(vars(klass))) for klass in declared.__mro__[:-1]]
            keys = {name: getattr(declared, name) for _, values in said[::-1] for name in values if name[:2] != "__"}
            known = _READ[declared] = said, cls.model_validate(keys)
        return known[1]


# What declarations and their parents said when they were read, and what that came to. All live as long as their model.
_READ: dict[type, tuple[list[tuple[type, dict[str, Any]]], ExternalDataMetaConfig]] = {}


class SourceRow(Protocol):
    """The interface of a source row that the rest of the package uses. ``ExternalDataMixin`` implements it."""

    pk: Any
    _meta: ClassVar[Any]
    _state: Any

    @property
    def external_source_id(self) -> str: ...

    def get_external_content(self) -> str | None: ...

    def get_external_title(self) -> str: ...

    def get_external_description(self) -> str: ...

    def get_external_metadata(self) -> dict[str, Any]: ...

    def get_external_tags(self) -> list[str]: ...

    def get_external_language(self) -> str: ...

    def should_sync_to_external_data(self) -> bool: ...
