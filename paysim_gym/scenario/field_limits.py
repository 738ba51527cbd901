"""Ranges of a scenario's numbers and lists, without silent conversion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True)
class IntRange:
    """An integer between two bounds; no bool, float or text.

    Attributes:
        low: Minimum.
        high: Maximum.
        unit: Unit, for the error message.
        is_key: Whether it is the key of a mapping, which is text in JSON. Only the canonical text is
            accepted, because "5" and "05" would be the same key.
    """

    low: int
    high: int
    unit: str = ""
    is_key: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate before pydantic, so that one message names type, unit and range."""
        schema = core_schema.int_schema(ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(self._check, schema)

    def _check(self, value: object) -> int:
        if self.is_key and isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,18}", value):
            value = int(value)
        if type(value) is int and self.low <= value <= self.high:
            return value
        expected = f"an integer number of {self.unit}" if self.unit else "an integer"
        raise PydanticCustomError("int_range", f"must be {expected} between {self.low} and {self.high}")


@dataclass(frozen=True)
class FloatRange:
    """A finite number between two bounds, without `low` if `above_low`; no bool or text."""

    low: float
    high: float
    above_low: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate before pydantic, so that one message names type and range."""
        schema = core_schema.float_schema(
            allow_inf_nan=False,
            gt=self.low if self.above_low else None,
            ge=None if self.above_low else self.low,
            le=self.high,
        )
        return core_schema.no_info_before_validator_function(self._check, schema)

    def _check(self, value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and self._contains(value):
            return float(value)
        start = f"above {self.low:g} and at most" if self.above_low else f"between {self.low:g} and"
        raise PydanticCustomError("float_range", f"must be a number {start} {self.high:g}")

    def _contains(self, value: float) -> bool:
        above = value > self.low if self.above_low else value >= self.low
        return above and value <= self.high


@dataclass(frozen=True)
class LengthRange:
    """A list with a bounded number of items.

    Pydantic counts only valid items, and would report a second error for each invalid one.
    """

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Count items before they are validated."""
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the bounds to the JSON schema."""
        return {**handler(schema), "minItems": self.low, "maxItems": self.high}

    def _check(self, value: object) -> object:
        if not isinstance(value, list | tuple) or self.low <= len(value) <= self.high:
            return value
        allowed = str(self.low) if self.low == self.high else f"{self.low} to {self.high}"
        raise PydanticCustomError("length_range", f"must have length {allowed}, has {len(value)}")
