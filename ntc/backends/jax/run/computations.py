"""What a program runs on its device: one compiled computation for each kind of pairs of examples and their numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import RLock
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from ntc.backends.jax.emit.stages import StageKernel, emit
from ntc.backends.jax.precision import precision
from ntc.backends.jax.run.executables import Executables, device_of
from ntc.backends.jax.run.self_test import TOLERANCES
from ntc.backends.jax.run.tiles import TiledMatrix, padded
from ntc.errors import SelfTestError, UnsupportedError
from ntc.ir.graph import Graph
from ntc.ir.platform import PLATFORMS
from ntc.ir.types import Between, DType, Target
from ntc.plan import KernelPath, plan
from ntc.plan.tiles import positions_of

Values = dict[str, npt.NDArray[Any]]

_FIRST_CAPABILITY = 9.0
"""Compute capability of the first GPUs with the kernels of whole stages: Hopper."""


@dataclass
class Computations:
    """The computations of one program.

    Attributes:
      graphs: the optimised kernel graph for each kind of pairs.
      target: the platform.
      dtype: of all arithmetic.
      path: whether stages may be kernels of their own.
      stored: functions that an artifact holds, which are run in place of those of the graphs.
      interpret: runs kernels of whole stages on any device, slowly, for tests.
    """

    graphs: Mapping[Between, Graph]
    target: Target
    dtype: DType
    path: KernelPath = "auto"
    stored: Mapping[Between, Any] = field(default_factory=dict)
    interpret: bool = False

    def __post_init__(self) -> None:
        self._made: Executables | None = None  # of a network without kernels, none
        self._functions: dict[Hashable, Any] = dict(self.stored.items())
        self._lock = RLock()
        self._compared: set[Between] = set()
        self._planned: dict[Hashable, bool] = {}
        self._refused = bool(self.stored) or self.path == "xla" or PLATFORMS[self.target].fast is None

    @property
    def executables(self) -> Executables:
        """The executables, of all threads."""
        with self._lock:
            if self._made is None:
                self._made = Executables(self.target, positions_of(self.graphs["cross"]) == 1)
            return self._made

    @cached_property
    def device(self) -> jax.Device:
        """Where they run. Raises UnsupportedError if there is no such device here."""
        return jax.devices()[0] if self.interpret else device_of(self.target)

    def function(self, between: Between, series_alone: bool = False, path: KernelPath = "xla") -> Any:
        """The jitted function for one kind of pairs."""
        key: Hashable = between if (series_alone, path) == (False, "xla") else (between, series_alone, path)
        if key not in self._functions:
            kernel = None if path == "xla" else _stage_kernel(self.interpret)
            self._functions[key] = jax.jit(emit(self.graphs[between], self.target, series_alone, kernel))
        return self._functions[key]

    def run(self, between: Between, series: bool, *arrays: npt.NDArray[Any], **named: Any) -> Values:
        """Runs one computation, with `series` first the one that takes less time to compile, which gives NaN if it is
        not enough. The precision is set here as well: it belongs to a thread."""
        with precision(self.dtype):
            placed = jax.device_put(arrays, self.device)
            fused = None if series else self._fused(between, placed, named)
            if fused is not None:
                return fused
            found: Values = {}
            for series_alone in (True, False) if series else (False,):
                found = self._values(between, series_alone, "xla", placed, named)
                if not any(np.isnan(np.sum(x)) for x in found.values()):
                    break
            return found

    def kernel(self, matrix: TiledMatrix, series: bool, **named: Any) -> StageKernel | None:
        """What computes whole stages of the tiles of a matrix, on whichever devices, once the first tile was what XLA
        gives; None where XLA is to compute them."""
        x2, tiling = matrix.x1 if matrix.x2 is None else matrix.x2, matrix.tiling
        if series or self._refused or not self._has_kernels or not self._is_fused("cross", tiling.rows, tiling.columns):
            return None
        rows, columns = matrix.x1[: tiling.rows], x2[: tiling.columns]
        self.run("cross", False, padded(rows, tiling.rows), padded(columns, tiling.columns), **named)
        return None if self._refused else _stage_kernel(self.interpret)

    def _values(self, between: Between, series_alone: bool, path: KernelPath, placed: Any, named: Any) -> Values:
        key = between, series_alone, path, *named, *(x.shape for x in placed)
        function = partial(self.function, between, series_alone, path)
        outputs = self.executables.get(key, function, *placed, **named)(*placed, **named)
        return {name: np.asarray(value) for name, value in outputs.items()}

    def _fused(self, between: Between, placed: Any, named: Any) -> Values | None:
        """By kernels of whole stages; None where there are none, or XLA is to be asked."""
        sizes = placed[0].shape[0], placed[-1].shape[0]
        if self._refused or not self._has_kernels or not min(sizes) > 0 or not self._is_fused(between, *sizes):
            return None
        try:
            found = self._values(between, False, self.path, placed, named)
        except Exception as error:  # whatever the compilers of kernels raise
            self._give_up(f"cannot be compiled here: {error}", UnsupportedError, error)
            return None
        with self._lock:
            if between in self._compared:
                return found
            problem = _difference(found, self._values(between, False, "xla", placed, named), TOLERANCES[self.dtype])
            self._compared.add(between)
        if problem is not None:
            self._give_up(problem, SelfTestError)
        return None if problem else found

    @cached_property
    def _has_kernels(self) -> bool:
        """Whether the device is one of those that kernels are for."""
        capability = getattr(self.device, "compute_capability", None)
        return self.interpret or capability is None or float(capability) >= _FIRST_CAPABILITY

    def _is_fused(self, between: Between, rows: int, columns: int) -> bool:
        """Whether there are kernels for so many examples."""
        key = between, rows, columns
        if key not in self._planned:
            planned = plan(self.graphs[between], self.target, rows, columns, self.path)
            self._planned[key] = any(stage.fused for stage in planned.stages)
        return self._planned[key]

    def _give_up(self, problem: str, kind: Callable[..., Exception], cause: Exception | None = None) -> None:
        """Leaves all stages to XLA from now on."""
        message = f"the kernels of whole stages {problem}"
        if self.path == "pallas":
            raise kind(message, hint="kernel_path='xla' computes the same without them") from cause
        self._refused = True
        warnings.warn(f"{message}; XLA computes all stages, which takes longer", stacklevel=2)


def _stage_kernel(interpret: bool) -> StageKernel:
    from ntc.backends.jax.pallas.kernel import run_fused  # only programs with such kernels load their compilers

    return partial(run_fused, interpret=interpret)


def _difference(found: Values, expected: Values, tolerance: float) -> str | None:
    """Where kernels differ from XLA's program by more than rounding; None if they do not."""
    for label, right in expected.items():
        known = np.isfinite(right)
        scale = float(np.max(np.abs(right[known]), initial=0.0))
        difference = float(np.max(np.abs(found[label] - right)[known], initial=0.0))
        if not difference <= tolerance * scale:
            return f"give {label} that differs by {difference:.2e}, of entries up to {scale:.2e}"
    return None
