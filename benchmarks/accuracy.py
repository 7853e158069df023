"""How far float32 is from float64: both kernels of every benchmark network, from distant inputs to equal ones."""

from __future__ import annotations

from typing import Literal

import numpy as np

import ntc
from benchmarks.cases import CASES, Case
from benchmarks.measure import markdown
from ntc.ir.op import Array

DISTANCES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)
"""|x - x'| / |x|."""

PROGRAMS: dict[str, tuple[Literal["covariance", "auto", "distance"], bool]] = {
    "covariance": ("covariance", False),
    "distance": ("distance", False),
    "inside jit": ("auto", False),
    "default": ("auto", True),
}
"""By name: in which form values are, and whether entries between nearly equal examples are computed in float64."""

NAMES = ("fully_connected", "cnn_flatten", "cnn_global_pool", "wrn", "cnn_pools", "myrtle5", "myrtle10")
"""Of the cases that are measured beside Neural Tangents, one for every network, at its full size."""

EXAMPLES = 2
"""Pairs of inputs per distance, of which the larger error counts."""


def main(quick: bool = False) -> str:
    """Rows are a network, a kernel and a program, columns distances; entries are |float32 - float64| / |float64|."""
    rows: list[tuple[object, ...]] = []
    for name in NAMES[:1] if quick else NAMES:
        for (kernel, program), errors in errors_of(CASES[name]).items():
            rows.append((CASES[name].title, kernel, program, *(f"{error:.0e}" for error in errors)))
    return markdown(("network", "kernel", "program", *(f"{distance:g}" for distance in DISTANCES)), rows)


def errors_of(case: Case) -> dict[tuple[str, str], Array]:
    """The largest relative error at every distance, by kernel and program, from the same numbers of float32."""
    graph = ntc.load_graph(case.file, case.model, case.parameters)
    x, near = inputs(case.shape)
    exact = ntc.build(graph, dtype="float64")(x, near)
    errors = {}
    for program, (form, refine) in PROGRAMS.items():
        found = ntc.build(graph, form=form)(x, near, refine=refine)
        for kernel in ("nngp", "ntk"):
            single, double = (np.asarray(getattr(kernels, kernel), np.float64) for kernels in (found, exact))
            own = np.arange(EXAMPLES)
            ratio = np.abs(single / double - 1).reshape(EXAMPLES, EXAMPLES, -1)[own, own]
            errors[kernel, program] = ratio.max(0)
    return errors


def inputs(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Examples, and as many at every distance from each, (examples * distances, ...)."""
    random = np.random.default_rng(0)
    x = random.normal(size=(EXAMPLES, *shape)).astype(np.float32)
    direction = random.normal(size=(EXAMPLES, *shape))
    axes = tuple(range(1, x.ndim))
    direction *= np.sqrt(np.sum(x**2, axes, keepdims=True) / np.sum(direction**2, axes, keepdims=True))
    near = np.stack([x + distance * direction for distance in DISTANCES], axis=1)
    return x, near.reshape(-1, *shape).astype(np.float32)
