"""The matcher of scenario files: a scalar that must be equal, or operators that must all hold."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tracer_bullet.workspace.load import Spec

JsonType = Literal["string", "number", "integer", "boolean", "object", "array", "null"]


def _operand(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number, or a text to compare in code-point order")
    return value


def _regex(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a regular expression in quotes")
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no valid regular expression: {error}") from None
    return value


Ordered = Annotated[int | float | str, BeforeValidator(_operand)]


class Matcher(Spec):
    """Operators on one value; all that are given must hold. A missing value passes `exists: false` only."""

    eq: Any = None
    """Equal; 5 and 5.0 are, 1 and true are not."""
    ne: Any = None
    """There, and not equal."""
    lt: Ordered = 0
    """Less than."""
    le: Ordered = 0
    """Less than or equal to."""
    gt: Ordered = 0
    """Greater than."""
    ge: Ordered = 0
    """Greater than or equal to."""
    contains: Any = None
    """A text that holds this text, a list that holds this item, an object that has this key."""
    matches: Annotated[str, BeforeValidator(_regex)] = ""
    """Regular expression (Python's `re`) that the whole text must match."""
    in_: tuple[Any, ...] = Field(default=(), alias="in", min_length=1, validate_default=False)
    """Equal to one of these."""
    not_in: tuple[Any, ...] = Field(default=(), min_length=1, validate_default=False)
    """There, and equal to none of these."""
    exists: bool = True
    """Whether the value is there at all."""
    type: JsonType = "string"
    """JSON type; `number` includes integers."""

    @property
    def operators(self) -> tuple[tuple[str, Any], ...]:
        """The (operator, operand) pairs that are given, in the order of this class."""
        fields = type(self).model_fields
        return tuple((f.alias or n, getattr(self, n)) for n, f in fields.items() if n in self.model_fields_set)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _accept_scalar(cls, value: Any) -> Any:
        if isinstance(value, str | int | float):
            return {"eq": value}
        if value is None:
            raise ValueError("is empty; to ask for null write {eq: null}")
        if isinstance(value, list):
            raise ValueError("a list is no matcher; write {in: [...]} or {eq: [...]}")
        if value == {}:
            raise ValueError(f"needs a value or one of {', '.join(OPERATORS)}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        operators = handler.resolve_ref_schema(handler(schema))
        for described in operators["properties"].values():
            described.pop("default", None)
        operators["minProperties"] = 1
        return {"anyOf": [{"type": ["string", "number", "boolean"]}, dict(operators)]}


OPERATORS = tuple(f.alias or n for n, f in Matcher.model_fields.items())
