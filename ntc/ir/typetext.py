"""Types from their text; the inverse of `str(type)`."""

from __future__ import annotations

import re
from typing import get_args

from ntc.errors import ParseError
from ntc.ir.offsets import DIAGONAL, Offsets
from ntc.ir.schema import MAX_EXTENT
from ntc.ir.types import (
    MAX_SPATIAL_AXES,
    ArrayType,
    CovarianceType,
    Distribution,
    DType,
    Form,
    Spatial,
    TensorType,
    Type,
)

_TYPE = re.compile(r"(?:(f32|f64) )?([a-z0-9]+)\[([^\]\n]*)\]")
_OFFSETS = re.compile(r"(-?\d{1,10})\.\.(-?\d{1,10})(?:/(\d{1,10}))?")
_AXIS = re.compile(r"([^%]*)(?:%(\d{1,10}))?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_type(text: str) -> Type:
    """The type that prints as `text`. Raises ParseError."""
    match = _TYPE.fullmatch(text)
    if not match:
        raise ParseError(f"`{text}` is not a type")
    dtype, kind, inside = match.groups()
    try:
        if kind in ("cov", "var", "dist"):
            return _covariance(_dtype(dtype), kind, inside)
        batch, *sizes = (part.strip() for part in inside.split(","))
        *spatial, channels = _sizes(sizes)
        if len(spatial) > MAX_SPATIAL_AXES:
            raise ValueError(f"more than {MAX_SPATIAL_AXES} spatial axes")
        if dtype is not None:
            raise ValueError("only a covariance has a type before it")
        if kind in get_args(DType):
            return ArrayType(_dtype(kind), _name(batch), tuple(spatial), channels)
        return TensorType(tuple(spatial), channels, Distribution(kind))
    except ValueError as error:
        raise ParseError(f"`{text}` is not a type: {error}") from None


def _covariance(dtype: DType, kind: str, inside: str) -> CovarianceType:
    parts = [[item.strip() for item in part.split(",")] for part in inside.split("|")]
    if len(parts) not in (1, 3) or len(parts[0]) != (1 if kind == "var" else 2):
        raise ValueError(f"{kind} is {kind}[batch | sizes | offsets]")
    batch, sizes, offsets = parts if len(parts) == 3 else [parts[0], [], []]
    spatial = _sizes(sizes)
    if len(offsets) != len(spatial) or len(spatial) > MAX_SPATIAL_AXES:
        raise ValueError(f"one offset set is needed per size, for at most {MAX_SPATIAL_AXES}")
    axes = [_axis(text, size) for text, size in zip(offsets, spatial, strict=True)]
    tracked, moduli = tuple(x for x, _ in axes), tuple(x for _, x in axes)
    form: Form = "distance" if kind == "dist" else "covariance"
    return CovarianceType(dtype, tuple(map(_name, batch)), spatial, tracked, moduli, form)


def _axis(text: str, size: int) -> tuple[Offsets, int]:
    match = _AXIS.fullmatch(text)
    if not match:
        raise ValueError(f"`{text}` is not offsets%modulus")
    modulus = int(match[2] or size)
    if not size <= modulus <= MAX_EXTENT:
        raise ValueError(f"the modulus {modulus} is less than the size {size}")
    return _offsets(match[1], size), modulus


def _offsets(text: str, size: int) -> Offsets:
    if text in ("0", "*"):
        return DIAGONAL if text == "0" else Offsets.full(size)
    match = _OFFSETS.fullmatch(text)
    if not match:
        raise ValueError(f"`{text}` is not 0, *, low..high or low..high/step")
    low, high, step = (int(x) if x else 1 for x in match.groups())
    if not -size < low <= high < size or step < 1 or (high - low) % step or (low < high) < (step > 1):
        raise ValueError(f"offsets {text} do not fit a size of {size}")
    return Offsets(low, high, step)


def _sizes(parts: list[str]) -> Spatial:
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise ValueError("sizes are positive integers")
    sizes = tuple(map(int, parts))
    if not all(1 <= size <= MAX_EXTENT for size in sizes):
        raise ValueError(f"sizes are between 1 and {MAX_EXTENT}")
    return sizes


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"`{text}` is not a batch name")
    return text


def _dtype(text: str | None) -> DType:
    if text == "f32":
        return "f32"
    if text == "f64":
        return "f64"
    raise ValueError("a covariance begins with f32 or f64")
