"""A compiled network: arrays of examples in, kernel matrices out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from threading import Lock
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ntc.backends.jax import finite
from ntc.backends.jax.inputs import Inputs
from ntc.backends.jax.loops import emit
from ntc.backends.jax.precision import precision
from ntc.backends.jax.tiled import Progress, TiledMatrix, Values, padded, workers
from ntc.backends.jax.tiles import Tiling, default_memory
from ntc.backends.jax.traced import is_traced
from ntc.errors import UnsupportedError
from ntc.ir.graph import Graph
from ntc.ir.kernel.readout import mirrored
from ntc.ir.types import ArrayType, Between, DType, Kernel, Target

COMPILER_OPTIONS: Mapping[Target, dict[str, bool]] = {
    # The older emitters of XLA:CPU compile in two thirds of the time, and their code is as fast.
    "cpu": {"xla_cpu_use_fusion_emitters": False},
    "cuda": {},
    "tpu": {},
}

Emitted = Callable[..., Mapping[str, jax.Array]]


class Kernels(NamedTuple):
    """Kernel matrices; None where a program was built without that kernel."""

    nngp: jax.Array | None
    ntk: jax.Array | None


class Program:
    """The NNGP and NTK of one network as a jitted JAX function.

    Calling it with x1 of shape (n1, *spatial, channels) and x2 of shape (n2, *spatial, channels) gives
    `Kernels` of shape (n1, n2), or (n1, n2, H, H', W, W', ...) for a network that keeps spatial axes.
    Without x2 it gives k(x1, x1), symmetric to the last bit. It may be called inside `jax.jit`, `jax.grad`
    and `jax.vmap`; then the whole matrix is one XLA computation. Otherwise the matrix is computed in tiles
    of examples, so that memory is bounded by one tile and the result.

    Attributes:
      network: the tensor graph.
      graphs: the optimised kernel graph for each kind of pairs of examples.
      target: the platform it runs on: cpu, cuda or tpu.
      dtype: of the inputs and of all arithmetic. float64 does not need `jax_enable_x64`.
      kernels: which kernels are computed.
    """

    def __init__(
        self,
        network: Graph,
        graphs: Mapping[Between, Graph],
        target: Target = "cpu",
        functions: Mapping[Between, Any] | None = None,
    ) -> None:
        self.network = network
        self.graphs = graphs
        self.target = target
        self._executables: dict[object, Any] = {}
        self._lock = Lock()
        self._stored = functions is not None
        self._functions: dict[Between, Any] = dict(functions or {})

    @cached_property
    def _input(self) -> ArrayType:
        type_ = self.graphs["cross"].inputs[0].type
        assert isinstance(type_, ArrayType)
        return type_

    @property
    def dtype(self) -> DType:
        return self._input.dtype

    @property
    def _array_type(self) -> Any:
        return np.float32 if self.dtype == "f32" else np.float64

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        labels = {output.label for output in self.graphs["cross"].outputs}
        return tuple(kernel for kernel in get_args(Kernel) if kernel in labels)

    def __repr__(self) -> str:
        return f"<Program @{self.network.name} {'+'.join(self.kernels)} {self.dtype} on {self.target}>"

    def __call__(
        self,
        x1: npt.ArrayLike | jax.Array,
        x2: npt.ArrayLike | jax.Array | None = None,
        *,
        mask1: npt.ArrayLike | None = None,
        mask2: npt.ArrayLike | None = None,
        pattern1: npt.ArrayLike | None = None,
        pattern2: npt.ArrayLike | None = None,
        progress: Progress | None = None,
        memory: int | None = None,
    ) -> Kernels:
        """The kernels between all examples of x1 and all of x2 (default: x1).

        Args:
          mask1, mask2: true where a position of x1, x2 is missing, (n, *spatial). For networks that begin with
            `mask`, as another way to mark positions than with the value of that layer.
          pattern1, pattern2: weighted adjacency matrices of the examples, (n, vertices, vertices), for networks with
            `aggregate`: entry (i, j) is the weight of the edge from i to j.
          progress: called with the number of tiles done and the number of all, before the first and after each.
          memory: about how many bytes all that is computed at a time may use, without inputs and result
            (default: a quarter of the machine's). At least one pair of examples is computed at a time.

        Raises:
          InputError: the arrays do not fit the network, or are not real numbers.
          UnsupportedError: there is no device of the program's target here.
          LimitError: not even one pair of examples fits into memory.
        """
        if is_traced(x1) or is_traced(x2):
            return self._traced(*self._packed(jnp, (x1, mask1, pattern1), (x2, mask2, pattern2)))
        with precision(self.dtype):
            first, *second = self._packed(np, (x1, mask1, pattern1), (x2, mask2, pattern2))
            return self._kernels(self._tiled(first, second[0] if second else None, progress, memory))

    def _packed(self, numpy: Any, first: tuple[Any, ...], second: tuple[Any, ...]) -> list[Any]:
        """The arrays of x1 and of x2, if that is given."""
        inputs = Inputs(self.network, self._array_type, numpy)
        arrays = [inputs.packed("x1", *first)]
        return arrays if second[0] is None else [*arrays, inputs.packed("x2", *second)]

    def diagonal(
        self, x: npt.ArrayLike | jax.Array, mask: npt.ArrayLike | None = None, pattern: npt.ArrayLike | None = None
    ) -> Kernels:
        """The kernels of every example with itself: the diagonal of `program(x)`, of shape (n, ...)."""
        with precision(self.dtype):
            array = Inputs(self.network, self._array_type).packed("x", x, mask, pattern)
            size = self._tiling(max(1, len(array)), 1, None).rows
            parts = [
                self._on_device("diagonal", padded(array[i : i + size], size))
                for i in range(0, max(1, len(array)), size)
            ]
            joined: Values = {k: np.concatenate([part[k] for part in parts])[: len(array)] for k in self.kernels}
            return self._kernels(joined)

    def init(self, key: jax.Array) -> finite.Params:
        """Random parameters of the same network at finite width, as wide as its layers say."""
        with precision(self.dtype):
            return finite.init(self.network, key, self._array_type)

    def apply(
        self,
        params: finite.Params,
        x: npt.ArrayLike | jax.Array,
        key: jax.Array | None = None,
        pattern: npt.ArrayLike | None = None,
    ) -> jax.Array:
        """The output (n, ..., channels) of the network at finite width on x of shape (n, *spatial, channels).

        Dropout in train mode draws from `key`; aggregate reads `pattern`, (n, vertices, vertices).
        """
        with precision(self.dtype):
            return finite.apply(self.network, params, jnp.asarray(x, self._array_type), key, pattern)

    def _traced(self, *arrays: Any) -> Kernels:
        """Inside another JAX transformation, as one computation."""
        return self._kernels(self._function("self" if len(arrays) == 1 else "cross")(*arrays))

    def _kernels(self, values: Mapping[str, Any]) -> Kernels:
        found = {k: jnp.asarray(values[k]) if k in values else None for k in ("nngp", "ntk")}
        return Kernels(**found)

    def _function(self, between: Between) -> Any:
        """The jitted function for one kind of pairs."""
        if between not in self._functions:
            self._functions[between] = jax.jit(emit(self.graphs[between], self.target))
        return self._functions[between]

    @cached_property
    def _device(self) -> jax.Device:
        try:
            return jax.devices(self.target)[0]
        except RuntimeError:
            raise UnsupportedError(
                f"the program is for {self.target}, and JAX finds no such device here",
                hint="build it with target='cpu', or run it where the device is",
            ) from None

    def _on_device(self, between: Between, *arrays: npt.NDArray[Any], **flags: bool) -> Values:
        """Runs one computation. The precision is set here as well: it belongs to a thread."""
        with precision(self.dtype):
            outputs = self._compiled(between, *arrays, **flags)(*jax.device_put(arrays, self._device), **flags)
            return {name: np.asarray(value) for name, value in outputs.items()}

    def _compiled(self, between: Between, *arrays: npt.NDArray[Any], **flags: bool) -> Emitted:
        """The computation for arrays of these shapes, compiled before if it has been asked for before."""
        key = between, *flags, *(x.shape for x in arrays)
        with self._lock:
            if key not in self._executables:
                lowered = self._function(between).lower(*jax.device_put(arrays, self._device), **flags)
                self._executables[key] = lowered.compile(COMPILER_OPTIONS[self.target])
            executable: Emitted = self._executables[key]
            return executable

    def _tiled(
        self, x1: npt.NDArray[Any], x2: npt.NDArray[Any] | None, progress: Progress | None, memory: int | None
    ) -> Values:
        n1, n2 = len(x1), len(x1 if x2 is None else x2)
        if not n1 or not n2:
            empty: Values = {k: np.zeros(self._shape(n1, n2), x1.dtype) for k in self.kernels}
            return empty
        tiling = self._tiling(n1, n2, memory)
        if x2 is None and tiling.rows * tiling.columns < n1 * n2:
            side = min(tiling.rows, tiling.columns)
            tiling = Tiling(side, side)
        result: Values = {k: np.empty(self._shape(n1, n2), x1.dtype) for k in self.kernels}
        several = tiling.rows < n1 or tiling.columns < n2
        functions = self._tile_functions(x2 is None and several)
        TiledMatrix(*functions, x1, x2, tiling, result).compute(workers(self.target), progress)
        return result

    def _tile_functions(self, symmetric: bool) -> tuple[Callable[..., Values], Callable[..., Values]]:
        """k(rows, columns) and k(rows, rows) of one tile.

        Of a symmetric matrix of several tiles, both are one computation, which is told whether rows and columns are the
        same examples: so there is one to compile. A stored program has no such computation.
        """
        if self._stored or not symmetric:
            return partial(self._on_device, "cross"), partial(self._on_device, "self")
        return partial(self._on_device, "cross", equal=False), self._own_tile

    def _own_tile(self, rows: npt.NDArray[Any]) -> Values:
        """k(rows, rows), symmetric to the last bit."""
        found = self._on_device("cross", rows, rows, equal=True)
        return {name: mirrored(value) for name, value in found.items()}

    def _tiling(self, n1: int, n2: int, memory: int | None) -> Tiling:
        limit = default_memory() if memory is None else memory
        return Tiling.choose(self.graphs["cross"], n1, n2, self.target, limit, workers(self.target))

    def _shape(self, n1: int, n2: int) -> tuple[int, ...]:
        graph = self.graphs["cross"]
        spatial = graph.covariance_of(graph.outputs[0].value).spatial
        return n1, n2, *(n for size in spatial for n in (size, size))
