"""Writes docs/layers.md from the definitions of the layers: python -m tools.layers."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

from ntc.backends.jax.finite import FORWARD
from ntc.errors import NtcError
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.construct import parameters, required, signature
from ntc.ir.graph import Graph
from ntc.ir.kernel import Gram
from ntc.ir.op import TensorOp, covariance
from ntc.ir.ops import TENSOR_OPS, AffineLayer, Dense, Elementwise, Flatten
from ntc.passes.dce import DeadCode
from ntc.passes.fold import Fold
from ntc.passes.track import demand
from ntc.passes.translate import Translate

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "layers.md"
SIDE = 8
EXAMPLES: dict[str, Any] = {
    "channels": 4,
    "features": 4,
    "kernel": 3,
    "window": 2,
    "groups": 2,
    "size": 4,
    "values": ((1.0,) * SIDE,) * 2,
    "axes": (0,),
    "sizes": (2,),
    "factor": 2.0,
    "keep": 0.5,
    "key_channels": 4,
    "value_channels": 4,
    "heads": 2,
    "alpha": 0.1,
    "a": -0.5,
    "b": -1.0,
    "degree": 2,
    "coefficients": (0.0, 1.0, 1.0),
    "expression": "x * sigmoid(x)",
}
"""A value for every parameter without a default, for the measured columns. Their op is on 8 x 8 positions."""

OWN: dict[str, dict[str, Any]] = {"max_pool": {"window": (1, 2)}}
"""Other values of some ops, with which they have a rule."""

HEAD = f"""# Layers

Written by `python -m tools.layers` from the definitions in [ntc/ir/ops](../ntc/ir/ops); the errors of the integrals of
nonlinearities are in [activations.md](activations.md), how to write a network in [language.md](language.md).

* **kernels**: whether NNGP and NTK have a rule.
* **finite**: whether `Program.init` and `Program.apply` have the layer at finite width.
* **reads**: the offsets p' - p of its input that are read to compute the entries with p' = p of the output, along the
  first axis of an image of {SIDE} x {SIDE} pixels; `*` are all. What is not read is not computed.
* **masks**: whether it may follow `mask`.
* **output**: what is known of one channel of the output after a Gaussian input: `gaussian`, as a nonlinearity needs;
  `centered`, mean zero; `tensor`, nothing; `finite`, nothing, as there are finite networks alone.
"""


MISSING = {
    "weights shared over time, as in a recurrent network": (
        "every layer draws weights of its own. One matrix that is applied again makes its outputs at all times "
        "dependent, and covariances between all pairs of times have to be carried (Yang 2019, arXiv:1910.12478)",
        "convolutions along time, or `self_attention`; of a recurrent cell as it is, `ntc.empirical_ntk_fn` at given "
        "parameters, or `ntc.monte_carlo_kernel_fn` over random ones",
    ),
}
"""Why, and what to do instead."""


def missing() -> str:
    """The section on what has no layer."""
    rows = [f"| {name} | {why} | {instead} |" for name, (why, instead) in MISSING.items()]
    head = "## What has no layer\n\n| wanted | why there is none | what to do |\n|---|---|---|\n"
    estimated = (
        "Kernels of layers with finite networks alone are estimated: `ntc kernel --monte-carlo 500` gives them with\n"
        "standard errors. What is nearest to them and has a rule is `avg_pool` in place of max pooling, and\n"
        "`layer_norm` in place of a batch norm in training. A softmax at the end is left out, as outputs are values:\n"
        "`ntc.estimators.NTKClassifier` and `ntc predict` make probabilities of the posterior of the logits.\n"
    )
    formulas = "Other functions of one number are formulas: `activation(x * sigmoid(x))`.\n"
    return "\n".join([head + "\n".join(rows) + "\n", estimated, formulas])


def example(op: type[TensorOp]) -> TensorOp:
    """The op with a value for every parameter without a default."""
    found = {p.name: EXAMPLES[p.name] for p in parameters(op) if required(p)}
    return op(**{**found, **OWN.get(op.name, {})})


def network(op: TensorOp, spatial: tuple[int, ...] = (SIDE, SIDE)) -> Graph:
    """dense, the op, and a readout of the entries with p' = p. Raises NtcError."""
    builder = TensorGraphBuilder(spatial, 4)
    first = op.name in ("mask",)
    x = builder.input if first else builder.append(Dense(4), [builder.input])
    operands = [x] if op.arity == 1 else [x, builder.append(Dense(4), [builder.input])]
    y = builder.append(op, operands)
    return builder.finish("layer", builder.append(Flatten(), [y]))


def reads(op: TensorOp) -> str:
    """The offsets of the operand that are read, along the first axis; none where there are no kernels."""
    if not op.closed_form:
        return "-"
    graph = Translate(("nngp",))(network(op))
    graph = DeadCode()(Fold()(graph))
    first = next(
        node.name for node in graph.nodes if isinstance(node.op, Gram) and len(covariance(node.type).batch) == 2
    )
    return demand(graph)[first][0].text(SIDE, SIDE)


def law(op: TensorOp) -> str:
    """The law of the output after a Gaussian input."""
    graph = network(op)
    return str(graph.tensor_of(graph.nodes[-2].name).distribution)


def masks(op: TensorOp) -> str:
    """Whether positions of its input may be masked."""
    try:
        op.visible(network(op).tensor_of("x"))
    except NtcError:
        return "no"
    return "yes"


def row(cls: type[TensorOp]) -> str:
    """The line of one layer in the table."""
    op = example(cls)
    kernels = "yes" if op.closed_form else "no"
    finite = "yes" if any(parent in FORWARD for parent in cls.__mro__) else "no"
    cells = [f"[`{op.name}`](#{op.name})", kernels, finite, f"`{reads(op)}`", masks(op), law(op)]
    return "| " + " | ".join(cells) + " |"


def family(cls: type[TensorOp]) -> str:
    """The heading under which a layer stands."""
    if issubclass(cls, Elementwise):
        return "Nonlinearities"
    if issubclass(cls, AffineLayer):
        return "Layers with weights"
    return "Joins" if cls.arity is None else "Other layers"


def section(cls: type[TensorOp]) -> str:
    """The definition of one layer as it stands in its class."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return f"### {cls.name}\n\n`{signature(cls)}`\n\n```text\n{text}\n```\n"


def document() -> str:
    """The page."""
    families: dict[str, list[type[TensorOp]]] = {}
    for cls in TENSOR_OPS.values():
        families.setdefault(family(cls), []).append(cls)
    parts = [HEAD]
    for name, classes in families.items():
        parts.append(f"## {name}\n")
        parts.append("| layer | kernels | finite | reads | masks | output |\n|---|---|---|---|---|---|")
        parts.append("\n".join(map(row, classes)) + "\n")
        shared = {"Nonlinearities": Elementwise, "Layers with weights": AffineLayer}.get(name)
        if shared:
            parts.append(f"All of them:\n\n```text\n{inspect.cleandoc(shared.__doc__ or '')}\n```\n")
        parts += map(section, classes)
    return "\n".join([*parts, missing()])


def main() -> None:
    """Writes the document."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    DOCUMENT.write_text(document())


if __name__ == "__main__":
    main()
