"""Finite networks of nonlinearities alone, which are functions of a number."""

from __future__ import annotations

from typing import Any

import jax

from ntc.backends.jax.finite import FORWARD
from ntc.backends.jax.hyper import bound
from ntc.stax.layout import Layout
from ntc.stax.part import Chain, Part, Repeat, Single

_ANY = Layout.of(2)
"""Where axes are does not matter."""


def is_entrywise(part: Part) -> bool:
    """Whether the part maps entries one by one."""
    match part:
        case Chain():
            return all(map(is_entrywise, part.parts))
        case Repeat():
            return is_entrywise(part.part)
    return isinstance(part, Single) and part.entrywise


def entries(part: Part, x: jax.Array) -> Any:
    """What the part makes of an array of any axes."""
    match part:
        case Chain():
            for inner in part.parts:
                x = entries(inner, x)
        case Repeat():
            for _ in range(part.count):
                x = entries(part.part, x)
        case Single():
            if part.forward is not None:
                return part.forward(_ANY, x)
            for op in part.ops(_ANY, ()):
                row = next(FORWARD[cls] for cls in type(op).__mro__ if cls in FORWARD)
                x = row(bound(op, part.hyper), {}, x)
    return x
