"""The correspondence of a function and a network: what became of every parameter, and how its scale was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ntc.importing.scales import Scale
from ntc.ir.construct import attributes, literal
from ntc.ir.op import TensorOp
from ntc.ir.ops import LayerScale


@dataclass(frozen=True)
class Row:
    """One parameter of a layer, or a layer without."""

    place: str
    value: str
    op: TensorOp
    parameter: str = ""
    scale: Scale | None = None
    bias: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """As text: where, which parameter, which layer, its scale, how that was found."""
        kind = "b_std" if self.bias else "init" if isinstance(self.op, LayerScale) else "w_std"
        named = "" if self.scale is None else f"{kind} = {self.scale.value:.6g}"
        how = "" if self.scale is None else self.scale.how
        return self.place, self.parameter, f"{self.value} = {shown(self.op)}", named, how


def shown(op: TensorOp) -> str:
    """A layer without its scales, which have columns of their own."""
    hidden = ("w_std", "b_std", "init", "parameterization", "bias")
    given = ", ".join(f"{k}={literal(v)}" for k, v in attributes(op).items() if k not in hidden)
    return f"{op.name}({given})" if given else op.name


@dataclass(frozen=True)
class Table:
    """Rows in the order of the network; printed, a table of text."""

    rows: Sequence[Row]

    def __str__(self) -> str:
        cells = [("where", "parameter", "layer", "scale", "how it was found"), *(row.cells for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(5)]
        lines = ["  ".join(f"{x:{w}}" for x, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
