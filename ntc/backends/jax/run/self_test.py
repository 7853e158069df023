"""A few entries of a kernel matrix by the program and by the float64 reference, before a long computation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ntc.backends.reference import interpret
from ntc.errors import SelfTestError
from ntc.ir.graph import Graph
from ntc.ir.op import covariance
from ntc.ir.types import DType

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

TILES = 3
"""How many tiles are compared."""

LONG = 60.0
"""Seconds from which on a computation is tested by default."""

TOLERANCES: Mapping[DType, float] = {"f32": 5e-3, "f64": 1e-7}
"""Largest difference, relative to the largest entry of the tile. What is wrong is off by far more; what float32
loses between near-identical examples in deep networks is about 2e-3."""

MOST_ENTRIES = 2e8
"""Entries of covariances, over all values, that the reference may compute for a tile: some ten seconds."""

_SIDE = 2
_SEED = 20200426

Values = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class SelfTest:
    """Compares tiles of k(x1, x2).

    Attributes:
      graph: the kernel graph between two inputs.
      dtype: of the program.
      compute: the matrices of the program between a few examples, by label.
    """

    graph: Graph
    dtype: DType
    compute: Callable[[npt.NDArray[Any], npt.NDArray[Any]], Values]

    @property
    def too_large(self) -> bool:
        """Whether the reference would take too long for even one pair of examples."""
        return self._entries > MOST_ENTRIES

    @property
    def _entries(self) -> float:
        """Of dense covariances of all values, per pair of examples."""
        total = 0.0
        for name in self.graph.definitions:
            total += float(np.prod([float(n) ** 2 for n in covariance(self.graph.type_of(name)).spatial]))
        return total

    def run(self, x1: npt.NDArray[Any], x2: npt.NDArray[Any]) -> bool:
        """Compares tiles of random examples, the same ones for the same sizes; False if the images are too large for
        the reference. Raises SelfTestError, with the places, where they differ."""
        if self.too_large:
            return False
        side = _SIDE if _SIDE**2 * self._entries <= MOST_ENTRIES else 1
        random = np.random.default_rng(_SEED)
        for _ in range(TILES):
            rows = np.sort(random.choice(len(x1), min(side, len(x1)), replace=False))
            columns = np.sort(random.choice(len(x2), min(side, len(x2)), replace=False))
            self._compare(x1[rows], x2[columns], rows, columns)
        return True

    def _compare(self, x1: Any, x2: Any, rows: Any, columns: Any) -> None:
        expected = interpret(self.graph, x1, x2)
        found = self.compute(x1, x2)
        for label, right in expected.items():
            own = np.asarray(found[label], np.float64)
            known = ~np.isnan(right)  # of inputs that are not numbers, nothing is expected
            scale = float(np.max(np.abs(right[known]), initial=0.0))
            difference = float(np.max(np.abs(own - right)[known], initial=0.0))
            if not difference <= TOLERANCES[self.dtype] * scale:
                raise SelfTestError(
                    f"self-test: {label} of examples {rows.tolist()} and {columns.tolist()} differs from the float64 "
                    f"reference by {difference:.2e}, of entries up to {scale:.2e}",
                    notes=(f"the program gives {_shown(found[label])}", f"the reference {_shown(right)}"),
                    hint="this is a defect of ntc or of the XLA compiler; skip the test only if you know why",
                )


def run_self_test(
    program: Program,
    compute: Callable[..., Values],
    examples: tuple[npt.NDArray[Any], npt.NDArray[Any] | None],
    scales: Mapping[str, Any],
    wanted: bool | None,
) -> bool | None:
    """Tests a program on examples x1 (n1, ...), x2 (n2, ...) or None, where it is wanted, or by default where the
    computation is predicted to be long: True. None where it is not; False, with a warning, where images are too large.

    `compute` is that of `SelfTest`, `scales` are the hyperparameters. Raises SelfTestError.
    """
    x1, x2 = examples
    columns, wanted = x1 if x2 is None else x2, program.tested if wanted is None else wanted
    if wanted is False or not len(x1) or not len(columns):
        return None
    if wanted is None and not program.is_long(len(x1), None if x2 is None else len(x2)):
        return None
    graph = program.graphs["cross"]
    graph = graph.with_hypers({name: float(scales[name]) for name in graph.hypers})
    tested = SelfTest(graph, program.dtype, compute).run(x1, columns)
    if not tested:
        warnings.warn("no self-test: the images are too large for the reference", stacklevel=3)
    return tested


def _shown(values: Any) -> str:
    return np.array2string(np.asarray(values).ravel()[:4], precision=6)
