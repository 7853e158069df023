"""The dataclass decorator and field types that ops and types share: frozen, strict, validated by pydantic."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

T = TypeVar("T")
_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def frozen(cls: type[T]) -> type[T]:
    """A pydantic dataclass that is immutable, hashes and compares by value, and refuses unknown fields."""
    made: type[T] = dataclass(frozen=True, config=_CONFIG)(cls)  # type: ignore[assignment]
    return made


MAX_EXTENT = 2**31 - 1
"""Largest size, window, stride or channel count: what an XLA dimension can index with 32 bits."""

Count = Annotated[int, Field(ge=1, le=MAX_EXTENT)]
Extent = Count | tuple[Count, ...]
"""One number for every spatial axis, or one number per axis."""

AxisNumber = Annotated[int, Field(ge=0, le=2)]
"""Number of a spatial axis."""

MAX_SCALE = 1e100

Scale = Annotated[float, Field(ge=0, le=MAX_SCALE)]
"""A standard deviation."""

Positive = Annotated[float, Field(ge=1e-100, le=1e100)]

Finite = Annotated[float, Field(ge=-1e100, le=1e100)]

Masked = Literal["nan", "inf"] | Finite
"""What marks an entry of an input as missing: not a number, infinity, or a number."""

Padding = Literal["same", "valid", "circular"]
Parameterization = Literal["ntk", "standard"]
