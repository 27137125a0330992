"""The pydantic model of requests: a key that it does not know is refused, and the error lists those that it knows."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

SHOWN_CHARACTERS = 40


class StrictModel(BaseModel):
    """A request. A misspelt key must not pass in silence, and whoever wrote it need not look up the right one.

    >>> SearchQuery.model_validate({"query": "gears", "limt": 5})
    pydantic_core.ValidationError: ... 'limt' is unknown: use some of models, limit, offset, ...
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="wrap")
    @classmethod
    def _list_known_keys(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            faults = error.errors(include_url=False)
            if not any(map(cls._is_unknown_key, faults)):
                raise
            raise ValidationError.from_exception_data(error.title, [cls._described(each) for each in faults]) from None

    @staticmethod
    def _is_unknown_key(fault: Any) -> bool:
        return bool(fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1)

    @classmethod
    def _described(cls, fault: Any) -> InitErrorDetails:
        message = str(fault["msg"])
        if cls._is_unknown_key(fault):
            key = str(fault["loc"][0])[:SHOWN_CHARACTERS]
            message = f"{key!r} is unknown: use some of {', '.join(cls.model_fields)}"
        kind = PydanticCustomError(fault["type"], "{message}", {"message": message})
        return InitErrorDetails(type=kind, loc=fault["loc"], input=fault["input"])
