"""One page for each layer, from its class: formulas, source, pictures, what it reads, an example that is checked."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

import ntc.plot
from ntc.frontend.elaborate import read_graph
from ntc.ir.construct import parameters, required, signature
from ntc.ir.op import TensorOp
from ntc.ir.ops import TENSOR_OPS, Elementwise
from tools import layers
from tools.site.formulas import page_text

_AROUND = {
    "mask": "input(8, 8, 4) |> {} |> conv(64, 3) |> relu |> global_avg_pool |> dense(1)",
    "sum": "input(8, 8, 4) |> sum(conv(64, 3), conv(64, 5)) |> relu |> flatten |> dense(1)",
    "product": "input(8, 8, 4) |> product(conv(64, 3) |> relu, conv(64, 3) |> sigmoid) |> flatten |> dense(1)",
    "concat": "input(8, 8, 4) |> concat(conv(64, 3), conv(32, 5)) |> conv(64, 3) |> relu |> flatten |> dense(1)",
    "concat_spatial": "input(8, 8, 4) |> concat_spatial(conv(64, 3), conv(64, 5)) |> relu |> flatten |> dense(1)",
    "flatten": "input(8, 8, 4) |> conv(64, 3) |> relu |> {} |> dense(1)",
    "global_avg_pool": "input(8, 8, 4) |> conv(64, 3) |> relu |> {} |> dense(1)",
    "global_sum_pool": "input(8, 8, 4) |> conv(64, 3) |> relu |> {} |> dense(1)",
}
"""Networks of layers that do not stand between a convolution and a readout."""
_USUAL = "input(8, 8, 4) |> conv(64, 3) |> {} |> flatten |> dense(1)"
_CALLS = {"activation": "activation(x * sigmoid(x))", "dropout": "relu |> dropout(0.9)"}


def pages() -> Iterator[tuple[str, str | bytes]]:
    """Places in the site and what is there."""
    for name, cls in TENSOR_OPS.items():
        yield f"layers/{name}.md", page(cls)
        if issubclass(cls, Elementwise):
            yield f"layers/{name}.png", picture(layers.example(cls))


def page(cls: type[TensorOp]) -> str:
    """The page of one layer. Raises NtcError if its example is not a network."""
    op = layers.example(cls)
    language = example(cls)
    read_graph(f"model example = {language}")
    shown = [f"# {cls.name}", f"`{signature(cls)}`", page_text(inspect.cleandoc(cls.__doc__ or ""))]
    if issubclass(cls, Elementwise):
        shown += [f"![{cls.name}, and its maps of correlations]({cls.name}.png)", _EXPLAINED]
    shown += [
        f"```nt\nmodel example =\n  {language}\n```",
        "| its | |\n|---|---|",
    ]
    facts = {
        "reads": f"offsets `{layers.reads(op)}` of its input, for the entries with p' = p of its output",
        "after `mask`": layers.masks(op),
        "output": f"{layers.law(op)}, after a Gaussian input",
        "in Python": f"`nn.{cls.name}`, with the same parameters",
    }
    shown[-1] += "".join(f"\n| {name} | {fact} |" for name, fact in facts.items())
    return "\n\n".join([*shown, "[All layers](../layers.md), [the language](../language.md)"])


_EXPLAINED = (
    "Left the function. Right, for Gaussian inputs of variance one, the covariance of outputs over the correlation of "
    "inputs, and that of derivatives by which the NTK is multiplied, each over its value at correlation one."
)


def example(cls: type[TensorOp]) -> str:
    """A network with the layer, in the language."""
    given = ", ".join(_literal(layers.EXAMPLES[p.name]) for p in parameters(cls) if required(p))
    call = _CALLS.get(cls.name, f"{cls.name}({given})" if given else cls.name)
    return _AROUND.get(cls.name, _USUAL).format(call)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return str(value)


def picture(op: Any) -> bytes:
    """The function and its maps of correlations, as PNG."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    ntc.plot.activation(op, axes=figure.subplots(1, 2))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    return file.getvalue()
