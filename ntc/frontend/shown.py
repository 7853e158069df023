"""Layers and networks as the expressions of Python that make them, for `repr`."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from ntc.ir.hyper import Hyper

if TYPE_CHECKING:
    from ntc.frontend.layers import Fan, Layer, Network
    from ntc.ir.op import TensorOp


def shown_layer(layer: Layer) -> str:
    """`dense(8) >> relu()`; arguments that are as by default are left out."""
    from ntc.frontend import layers

    shown, rest = [], [layer]
    while rest:
        found = rest.pop()
        match found:
            case layers.Serial():
                rest.extend(reversed(found.parts))
            case layers.Apply():
                shown.append(shown_op(found.op))
            case layers.Repeat():
                shown.append(f"repeat({found.count}, {shown_layer(found.body)})")
            case layers.Named():
                shown.append(f"output({found.name!r})")
            case layers.Fan():
                shown.append(shown_fan(found))
            case _:
                shown.append(type(found).__name__)
    return " >> ".join(shown) or "identity()"


def shown_network(network: Network) -> str:
    """`input(3) >> dense(8)`."""
    from ntc.frontend import layers

    root = network.root
    if isinstance(root, layers.Fan):
        begin = shown_fan(root)
    else:
        begin = f"input({', '.join(map(str, (*root.spatial, root.channels)))})"
    return " >> ".join([begin, *map(repr, network.layers)])


def shown_fan(fan: Fan) -> str:
    """`sum(identity(), dense(8))`: branches, then arguments."""
    return f"{fan.op.name}({', '.join([*map(repr, fan.branches), *_arguments(fan.op)])})"


def shown_op(op: TensorOp) -> str:
    """`dense(8, w_std=1.5)`: the first argument without its name."""
    return f"{op.name}({', '.join(_arguments(op))})"


def _arguments(op: TensorOp) -> list[str]:
    given = []
    for place, field in enumerate(fields(op)):  # type: ignore[arg-type]  # which is a dataclass by its decorator
        value = getattr(op, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if not field.init or value == default:
            continue
        given.append(_value(value) if place == 0 else f"{field.name}={_value(value)}")
    return given


def _value(value: Any) -> str:
    if isinstance(value, Hyper):
        return f"hyper({value.value:.6g}, {value.name!r})"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
