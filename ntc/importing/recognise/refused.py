"""Why primitives that no rule reads have no limit here, and what would do."""

from __future__ import annotations

from collections.abc import Mapping

from ntc.importing.graph import Node
from ntc.importing.problems import NotRecognisedError

_LOOP = (
    "a loop",
    "weights that are shared across time make outputs at all times dependent",
    "convolutions along time, or attention; loops over layers with weights of their own are written out",
)
_CHOICE = (
    "entries that are chosen by an index",
    "which entries are read is not the same for all examples, or is no part of a grid",
    "slices, means and attention",
)
_RANDOM = (
    "random numbers",
    "the function is another at every call",
    "inference mode: dropout that is switched off",
)
_ORDER = ("an order of entries", "order statistics of correlated Gaussians have no closed form", "means")

REASONS: Mapping[str, tuple[str, str, str]] = {
    "scan": _LOOP,
    "while": _LOOP,
    "cond": ("a choice", "it takes one of two ways by a number of the example", "a nonlinearity"),
    "gather": _CHOICE,
    "dynamic_slice": _CHOICE,
    "scatter": _CHOICE,
    "scatter-add": _CHOICE,
    "dynamic_update_slice": _CHOICE,
    "sort": _ORDER,
    "top_k": _ORDER,
    "argmax": _ORDER,
    "argmin": _ORDER,
    "cumsum": ("a running sum", "it has no layer", "a matrix along the axis"),
    "random_bits": _RANDOM,
    "random_wrap": _RANDOM,
    "threefry2x32": _RANDOM,
    "fft": ("a Fourier transform", "it has no layer", "a convolution"),
    "rev": ("an order of positions reversed", "it has no layer", "the order as it is"),
    "own_derivative": (
        "a function with a derivative of its own",
        "gradients that are not those of its values give another NTK",
        "the function without jax.custom_jvp or jax.custom_vjp",
    ),
    "stop_gradient": (
        "a gradient that is stopped",
        "the NTK is that of a part of the network",
        "the function without stop_gradient; layers that are not trained have learning_rate = 0 in ntc.nn",
    ),
}


def reason(node: Node) -> NotRecognisedError:
    """What is said of a primitive that no rule reads."""
    if node.name in REASONS:
        return NotRecognisedError(*REASONS[node.name])
    return NotRecognisedError(f"the operation `{node.name}`", "it is not recognised", "layers of the table in the docs")
