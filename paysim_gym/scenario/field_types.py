"""Types of scenario fields: ids, texts, times, money, ticks and shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictStr,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from paysim_gym._engine import minutes_of_day, validate_part
from paysim_gym.scenario.field_limits import FloatRange, IntRange

MAX_MONEY = 10**15
"""Maximum of an amount, balance or fee of a scenario, in cents."""


class Model(BaseModel):
    """A part of a scenario: immutable, without unknown keys; null means absent."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _part: ClassVar[str | None] = None
    """Its name in the engine, if the engine has rules between its fields."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        """Leave out optional fields that are null."""
        if not isinstance(data, Mapping) or None not in data.values():
            return data
        optional = _optional_fields(cls)
        return {key: value for key, value in data.items() if value is not None or key not in optional}

    @model_validator(mode="after")
    def _validate_in_engine(self) -> Self:
        if self._part is not None:
            validate_part(self._part, self.model_dump_json())
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Allow null for optional fields in the JSON schema."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name in _optional_fields(cls):
            properties[name] = _or_null(properties[name])
        return schema


@cache
def _optional_fields(model: type[Model]) -> frozenset[str]:
    """Return the fields that may be absent, without the `type` of a union member."""
    return frozenset(
        name for name, field in model.model_fields.items() if name != "type" and not field.is_required()
    )


def _or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return a JSON schema that also allows null."""
    null = {"type": "null"}
    if null in schema.get("anyOf", ()):
        return schema
    about: JsonSchemaValue = {
        key: schema[key] for key in ("title", "description", "default") if key in schema
    }
    value = {key: part for key, part in schema.items() if key not in about}
    return {"anyOf": [*value.get("anyOf", [value]), null], **about}


def by_type(members: Iterable[type[Model]]) -> dict[str, type[Model]]:
    """Map the value of `type` to the member of a union."""
    return {member.model_fields["type"].default: member for member in members}


def has_type(members: Mapping[str, type[Model]]) -> BeforeValidator:
    """Return a validator that a value has the `type` of a union member."""

    def check(value: object) -> object:
        name = value.get("type") if isinstance(value, Mapping) else None
        if isinstance(value, Model) or (isinstance(name, str) and name in members):
            return value
        raise PydanticCustomError("has_type", f"must be a mapping with a `type`, one of {', '.join(members)}")

    return BeforeValidator(check)


ID = "[A-Z0-9_]{1,64}"
"""Pattern of a whole id."""
ID_RULE = "must be 1 to 64 characters from A-Z, 0-9 and _"


def _check_id(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(ID, value):
        return value
    raise PydanticCustomError("identifier", ID_RULE)


def _check_text(value: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise PydanticCustomError("text", "must be text without lone surrogates, which UTF-8 cannot encode")
    return value


def _is_path(file_type: str) -> BeforeValidator:
    """Return a validator that a value can be the path of a file."""

    def check(value: object) -> object:
        if isinstance(value, str) and value:
            return _check_text(value)
        raise PydanticCustomError("file", f"must be the path of a {file_type} file")

    return BeforeValidator(check)


def _check_time(value: object) -> object:
    if minutes_of_day(value) is not None:
        return value
    raise PydanticCustomError("time", "must be a time HH:MM between 00:00 and 24:00")


def _check_not_empty(value: object) -> object:
    if isinstance(value, Mapping) and not value:
        raise PydanticCustomError("weights", "must have at least one weight")
    return value


def _check_keys(value: object) -> object:
    """Refuse keys that are equal as text, because JSON would lose a value."""
    if isinstance(value, Mapping) and len({str(key) for key in value}) < len(value):
        raise PydanticCustomError("repeated_key", "must name each priority once")
    return value


MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
"""Pattern of the times 00:00 to 23:59."""
TIME_OF_DAY = f"^(?:{MINUTE}|24:00)$"
"""Pattern of the times that `minutes_of_day` of the engine accepts, for JSON schemas."""

Identifier = Annotated[str, Field(pattern=r"^[A-Z0-9_]+$", max_length=64), BeforeValidator(_check_id)]
Text = Annotated[StrictStr, AfterValidator(_check_text)]
PaymentsPath = Annotated[str, Field(min_length=1), _is_path("CSV or Parquet")]
NetworkPath = Annotated[str, Field(min_length=1), _is_path("safetensors")]
TimeOfDay = Annotated[str, Field(pattern=TIME_OF_DAY), BeforeValidator(_check_time)]
Money = Annotated[int, IntRange(0, MAX_MONEY, "cents")]
Amount = Annotated[int, IntRange(1, MAX_MONEY, "cents")]
Tick = Annotated[int, IntRange(0, 2**32 - 1, "ticks")]
EpisodeTick = Annotated[int, IntRange(0, 10**7 - 1, "ticks")]
EpisodeSpan = Annotated[int, IntRange(1, 10**7, "ticks")]
TickSpan = Annotated[int, IntRange(0, 10**6, "ticks")]
Priority = Annotated[int, IntRange(0, 10)]
PriorityKey = Annotated[int, IntRange(0, 10, is_key=True)]
RtgsPriority = Literal["normal", "urgent", "highly_urgent"]
Share = Annotated[float, FloatRange(0, 1)]
Weight = Annotated[float, FloatRange(0, 1e9)]
Multiplier = Annotated[float, FloatRange(0, 1000)]
PriorityWeights = Annotated[
    dict[PriorityKey, Weight], BeforeValidator(_check_keys), BeforeValidator(_check_not_empty)
]
PriorityMultipliers = Annotated[dict[PriorityKey, Multiplier], BeforeValidator(_check_keys)]
CounterpartyWeights = Annotated[dict[Identifier, Weight], BeforeValidator(_check_not_empty)]
