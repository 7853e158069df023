"""A compiled network: arrays of examples in, kernel matrices out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from ntc.backends.jax import finite
from ntc.backends.jax.concrete import is_traced
from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.hyper import known_values, values_of
from ntc.backends.jax.inputs import Examples, Inputs, array_type
from ntc.backends.jax.integrals import has_series
from ntc.backends.jax.pickling import Portable
from ntc.backends.jax.precision import precision, require
from ntc.backends.jax.result import Kernels, named
from ntc.backends.jax.run.computations import Computations
from ntc.backends.jax.run.nonfinite import FiniteCheck
from ntc.backends.jax.run.refine import NearPairs, loses_digits
from ntc.backends.jax.run.self_test import LONG, run_self_test
from ntc.backends.jax.run.sharded import ShardedMatrix, device_mesh, even, sharded
from ntc.backends.jax.run.tiles import Progress, TiledMatrix, Values, compute_tiles, padded, shape_of, workers
from ntc.backends.jax.run.tiles_in_jit import TracedTiles, traced_tiling
from ntc.errors import InputError, NtcError
from ntc.ir.graph import Graph
from ntc.ir.kernel.readout import mirrored
from ntc.ir.types import ArrayType, Between, DType, Kernel, Target
from ntc.picture.notebook import PageInNotebooks
from ntc.plan import KernelPath
from ntc.plan.tiles import Tiling, default_memory
from ntc.price import Cost, known_rates, price

_FEW_PAIRS = 16
"""Fewer pairs of examples are never worth a test."""


class Program(Portable, PageInNotebooks):
    """The NNGP and NTK of one network as a jitted JAX function.

    Calling it with x1 (n1, *spatial, channels) and x2 (n2, *spatial, channels) gives `Kernels` of shape (n1, n2), or
    (n1, n2, H, H', W, W', ...) for a network that keeps spatial axes; without x2 k(x1, x1), symmetric to the last bit.
    It may be called inside `jax.jit`, `jax.grad` and `jax.vmap`; then the matrix is part of one XLA computation. Else,
    and where it is large for the machine, it is computed in tiles of examples, so that memory is bounded.

    Attributes:
      network: the tensor graph.
      graphs: the optimised kernel graph for each kind of pairs of examples.
      target: the platform it runs on: cpu, cuda or tpu.
      dtype: of the inputs and of all arithmetic. float64 does not need `jax_enable_x64`.
      kernels: which kernels are computed.
      devices: over how many devices the pairs of examples of a call are split.
    """

    def __init__(
        self,
        network: Graph,
        graphs: Mapping[Between, Graph],
        target: Target = "cpu",
        functions: Mapping[Between, Any] | None = None,
        devices: int | Mesh = 1,
        kernel_path: KernelPath = "auto",
        dtype: DType | None = None,
    ) -> None:
        self.network, self.graphs, self.target, self.given_dtype = network, graphs, target, dtype
        self.devices = devices.size if isinstance(devices, Mesh) else devices
        self._devices = devices
        self.tested: bool | None = None
        self._long: dict[tuple[int, int | None], bool] = {}
        self._tilings = cache(lambda *given: Tiling.choose(self.graphs["cross"], *given))
        self._computations = Computations(graphs, target, self.dtype, kernel_path, dict(functions or {}))
        self._has_series = not functions and any(has_series(node.op) for node in network.nodes)

    @cached_property
    def _input(self) -> ArrayType:
        return array_type(self.network, self.graphs, self.given_dtype)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs of the network."""
        return tuple(value.name for value in self.network.inputs)

    @property
    def dtype(self) -> DType:
        return self._input.dtype

    @property
    def _array_type(self) -> Any:
        return np.float32 if self.dtype == "f32" else np.float64

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return tuple(kernel for kernel in get_args(Kernel) if kernel in self._labels)

    @property
    def _labels(self) -> tuple[str, ...]:
        """What matrices are called in the kernel graph: `nngp`, `features.nngp`."""
        return tuple(output.label for output in self.graphs["cross"].outputs)

    def __repr__(self) -> str:
        what = "finite" if self.given_dtype else "+".join(self.kernels)  # a type is given where there are no kernels
        return f"<Program @{self.network.name} {what} {self.dtype} on {self.target}>"

    def __call__(
        self,
        x1: Examples,
        x2: Examples | None = None,
        *,
        mask1: npt.ArrayLike | None = None,
        mask2: npt.ArrayLike | None = None,
        pattern1: npt.ArrayLike | None = None,
        pattern2: npt.ArrayLike | None = None,
        hyper: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        memory: int | None = None,
        self_test: bool | None = None,
        refine: bool = True,
        tile: int | None = None,
    ) -> Kernels:
        """The kernels between all examples of x1 and all of x2 (default: x1).

        Args:
          x1, x2: (n, *spatial, channels). Of a network of several inputs, tuples of one array for each in the order of
            `program.inputs`, or dictionaries by name.
          mask1, mask2: true where a position of x1, x2 is missing, (n, *spatial). For networks that begin with
            `mask`, as another way to mark positions than with the value of that layer.
          pattern1, pattern2: weighted adjacency matrices of the examples, (n, vertices, vertices), for networks with
            `aggregate`: entry (i, j) is the weight of the edge from i to j.
          hyper: values of hyperparameters, by name (default: those written in the network). They are arguments of the
            compiled program, which another value does not compile again, and kernels can be differentiated by them.
          progress: called with the number of tiles done and the number of all, before the first and after each.
          memory: about how many bytes all that is computed at a time may use, without inputs and result; at least one
            pair of examples is (default: a quarter of the machine's).
          self_test: compares three small random tiles with the float64 reference first. Default: where over a minute is
            predicted. Not where images are too large for the reference, nor within JAX transformations.
          refine: computes entries between nearly equal examples in float64 where float32 would lose digits: those at a
            distance of a thirty-second of their norm, of networks that average positions before a nonlinearity with a
            kink (docs/accuracy.md). Not within JAX transformations.
          tile: examples on either side of a tile, in place of what suits memory and processors. Bits belong to the
            tile: with a given one, k(x1[a:b], x2[c:d]) is part of k(x1, x2) to the last bit where a and c are multiples
            of it; of k(x1, x1), on and above the diagonal. Not within JAX transformations.

        Raises:
          SelfTestError: the program is wrong for some examples.
          InputError: the arrays do not fit the network, or are not real numbers.
          NonFiniteError: a kernel of finite examples is not finite; the error names the layer, and the variance it
            happened at. Kernels of examples that are not finite are NaN. Not within JAX transformations.
          UnsupportedError: there is no device of the program's target here.
          LimitError: not even one pair of examples fits into memory.
        """
        scales = values_of(self.network.hypers, hyper, self._array_type)
        if tile is not None and (isinstance(tile, bool) or tile < 1):
            raise InputError(f"tile should be 1 or more examples, got {tile}")
        if is_traced((x1, x2, mask1, mask2, pattern1, pattern2, scales)):
            if tile is not None:
                raise InputError("tile is given within a JAX transformation", hint="leave it out: XLA cuts the matrix")
            require(self.dtype)
            return self._traced(scales, *self._packed(jnp, (x1, mask1, pattern1), (x2, mask2, pattern2)))
        with precision(self.dtype):
            first, *second = self._packed(np, (x1, mask1, pattern1), (x2, mask2, pattern2))
            other = second[0] if second else None
            run_self_test(self, partial(self._on_device, "cross", hyper=scales), (first, other), scales, self_test)
            return named(self.network, self._values(first, other, scales, progress, memory, tile, refine))

    def packed_values(
        self, x1: npt.NDArray[Any], x2: npt.NDArray[Any] | None, tile: int, refine: bool = True
    ) -> dict[str, npt.NDArray[Any]]:
        """What a call gives, by label (`nngp`, `features.ntk`), of examples that `Inputs.packed` has packed: of x1
        (n1, ...) and x2 (n2, ...), or of x1 alone, arrays (n1, n2, ...). Raises NonFiniteError."""
        with precision(self.dtype):
            scales = values_of(self.network.hypers, None, self._array_type)
            return self._values(x1, x2, scales, None, None, tile, refine)

    def _values(
        self,
        x1: npt.NDArray[Any],
        x2: npt.NDArray[Any] | None,
        scales: dict[str, Any],
        progress: Progress | None,
        memory: int | None,
        tile: int | None,
        refine: bool,
    ) -> Values:
        result = self._tiled(x1, x2, scales, progress, memory, tile)
        if refine and self._near is not None and len(x1) and (x2 is None or len(x2)):
            self._near.refine(x1, x2, result, self._hyper("cross", scales).get("hyper", {}))
        self._finite_check(scales).matrices(x1, x2, result)
        return result

    def _finite_check(self, scales: dict[str, Any]) -> FiniteCheck:
        return FiniteCheck(self.graphs, scales, self.target, self._device, self.dtype)

    def is_long(self, n1: int, n2: int | None = None) -> bool:
        """Whether a computation is predicted to take over a minute, and so is tested; not where nothing is known."""
        if n1 * (n2 or n1) < _FEW_PAIRS:
            return False
        if (n1, n2) not in self._long:  # a prediction takes some milliseconds
            try:
                self._long[n1, n2] = self.cost(n1, n2).seconds > LONG
            except NtcError:
                self._long[n1, n2] = False
        return self._long[n1, n2]

    def _packed(self, numpy: Any, first: tuple[Any, ...], second: tuple[Any, ...]) -> list[Any]:
        """The arrays of x1 and of x2, if that is given."""
        inputs = Inputs(self.network, self._array_type, numpy)
        arrays = [inputs.packed("x1", *first)]
        return arrays if second[0] is None else [*arrays, inputs.packed("x2", *second)]

    def diagonal(
        self,
        x: Examples,
        mask: npt.ArrayLike | None = None,
        pattern: npt.ArrayLike | None = None,
        hyper: Mapping[str, Any] | None = None,
    ) -> Kernels:
        """The kernels of every example with itself: the diagonal of `program(x)`, of shape (n, ...)."""
        with precision(self.dtype):
            scales = values_of(self.network.hypers, hyper, self._array_type)
            array = Inputs(self.network, self._array_type).packed("x", x, mask, pattern)
            size = self._tiling(max(1, len(array)), 1, None).rows
            parts = [
                self._on_device("diagonal", padded(array[i : i + size], size), hyper=scales)
                for i in range(0, max(1, len(array)), size)
            ]
            joined: Values = {k: np.concatenate([part[k] for part in parts])[: len(array)] for k in self._labels}
            self._finite_check(scales).diagonal(array, joined)
            return named(self.network, joined)

    def cost(self, n1: int, n2: int | None = None, memory: int | None = None) -> Cost:
        """Predicted time and memory of `program(x1, x2)`, or of k(x1, x1) without n2, on this machine.

        Rates are those that `ntc calibrate` measured, or of a typical core. Raises ParameterError where nothing is
        known of the target's speed, InputError for a damaged file of rates or numbers of examples below 1.
        """
        if n1 < 1 or (n2 is not None and n2 < 1):
            raise InputError(f"a cost is of 1 example or more, got {n1} and {n2}")
        limit = default_memory() if memory is None else memory
        return price(self.graphs["cross"], known_rates(self.target), n1, n2, limit, workers(self.target))

    @property
    def hyper(self) -> dict[str, float]:
        """The hyperparameters by name, with the values that they have unless told otherwise."""
        return {name: hyper.value for name, hyper in self.network.hypers.items()}

    def with_hyper(self, values: Mapping[str, Any]) -> Program:
        """The same program, which is not compiled again, with other values where the caller gives none. InputError."""
        numbers = known_values(self.network.hypers, values)
        changed = copy(self)
        changed.network = self.network.with_hypers(numbers)
        if self.given_dtype is None:  # else there are no kernel graphs
            changed.graphs = {between: graph.with_hypers(numbers) for between, graph in self.graphs.items()}
        return changed

    def with_self_test(self, wanted: bool | None) -> Program:
        """The same program, with another default of `self_test`: None is where a computation is long."""
        changed = copy(self)
        changed.tested = wanted
        return changed

    def with_kernel_path(self, path: KernelPath) -> Program:
        """The same program, whose stages may be kernels of their own or not; see `ntc.build`."""
        changed = copy(self)
        changed._computations = replace(self._computations, path=path)
        return changed

    def init(self, key: jax.Array, hyper: Mapping[str, Any] | None = None) -> finite.Params:
        """Random parameters of the same network at finite width, as wide as its layers say.

        `hyper` is that of a call: layers in the standard parameterization read it here, others in `apply`.
        """
        with precision(self.dtype):
            return finite.init(self.network, key, self._array_type, hyper)

    def apply(
        self,
        params: finite.Params,
        x: Examples,
        key: jax.Array | None = None,
        pattern: npt.ArrayLike | None = None,
        hyper: Mapping[str, Any] | None = None,
    ) -> jax.Array:
        """The output (n, ..., channels) of the network at finite width on x of shape (n, *spatial, channels).

        Dropout in train mode draws from `key`; aggregate reads `pattern`, (n, vertices, vertices).
        """
        with precision(self.dtype):
            return finite.apply(self.network, params, x, key, pattern, self._array_type, hyper)

    def _traced(self, scales: dict[str, Any], *arrays: Any) -> Kernels:
        """Inside another JAX transformation, as one computation."""
        between: Between = "self" if len(arrays) == 1 else "cross"
        n1, n2 = len(arrays[0]), len(arrays[-1])
        tiling = None if self._stored else traced_tiling(self.graphs["cross"], n1, n2, self.target)
        if tiling is None:
            found = self._computations.function(between)(*arrays, **self._hyper(between, scales))
            return named(self.network, found)
        tile = partial(self._computations.function("cross"), **self._hyper("cross", scales))
        if len(arrays) == 1:
            return named(self.network, TracedTiles(tile, tiling.squares).own(*arrays))
        return named(self.network, TracedTiles(tile, tiling).cross(*arrays))

    def _hyper(self, between: Between, scales: dict[str, Any]) -> dict[str, Any]:
        """The argument `hyper` of the function of a graph, which may have lost some; none if it has none."""
        found = {name: scales[name] for name in self.graphs[between].hypers}
        return {"hyper": found} if found else {}

    @property
    def _stored(self) -> bool:
        """Whether an artifact's own functions are run."""
        return bool(self._computations.stored)

    @property
    def _device(self) -> jax.Device:
        return self._computations.device

    @property
    def device_kind(self) -> str:
        """What JAX calls the device that it runs on. Raises UnsupportedError if there is none here."""
        return str(self._device.device_kind)

    @property
    def kernel_path(self) -> KernelPath:
        """Whether stages may be kernels of their own on the device."""
        return self._computations.path

    def _on_device(self, between: Between, *arrays: npt.NDArray[Any], hyper: dict[str, Any], **flags: bool) -> Values:
        """Runs one computation."""
        named = {**flags, **self._hyper(between, hyper)}
        return self._computations.run(between, self._has_series, *arrays, **named)

    def _tiled(
        self,
        x1: npt.NDArray[Any],
        x2: npt.NDArray[Any] | None,
        scales: dict[str, Any],
        progress: Progress | None,
        memory: int | None,
        tile: int | None,
    ) -> Values:
        n1, n2 = len(x1), len(x1 if x2 is None else x2)
        result: Values = {k: np.empty(shape_of(self.graphs["cross"], k, n1, n2), x1.dtype) for k in self._labels}
        if not n1 or not n2:
            return result
        tiling = Tiling(tile, tile) if tile else self._tiling(n1, n2, memory, x2 is None)
        if self.devices > 1:
            tiling = tiling if tile else even(tiling, self.devices, n1, n2, x2 is None)
            self._shard(TiledMatrix(x1, x2, tiling, result), scales, progress, x2 is None or tile is not None)
            return result
        several = x2 is None and (tiling.rows < n1 or tiling.columns < n2)
        functions = self._tile_functions(several or tile is not None, scales)
        compute_tiles(TiledMatrix(x1, x2, tiling, result), *functions, workers(self.target), progress)
        return result

    @cached_property
    def _near(self) -> NearPairs | None:
        graph = self.graphs["cross"]
        return NearPairs(graph, self.target, self._device) if loses_digits(graph) else None

    def _shard(self, matrix: TiledMatrix, scales: dict[str, Any], progress: Progress | None, told: bool) -> None:
        """Fills a matrix on all devices, which are `told` whether rows and columns of a tile are the same."""
        mesh = device_mesh(self._devices, self.target)

        kernel = self._computations.kernel(matrix, self._has_series, **self._hyper("cross", scales))

        def compiled(*arguments: Any) -> Any:
            key = "sharded", told, *(x.shape for x in arguments[:2]), matrix.tiling
            tile = emit(self.graphs["cross"], self.target, kernel=kernel)
            function = partial(sharded, tile, mesh, matrix.tiling, told)
            return self._computations.executables.get(key, function, *arguments)

        ShardedMatrix(mesh, matrix, self._hyper("cross", scales)).compute(compiled, progress)

    def _tile_functions(self, both: bool, hyper: dict[str, Any]) -> tuple[Callable[..., Values], Callable[..., Values]]:
        """k(rows, columns) and k(rows, rows) of one tile.

        Where `both` are needed, of a symmetric matrix of several tiles and of any part of one, they are one
        computation, which is told whether rows and columns are the same examples: so there is one to compile. A stored
        program has no such computation.
        """
        if self._stored or not both:
            return partial(self._on_device, "cross", hyper=hyper), partial(self._on_device, "self", hyper=hyper)
        return partial(self._on_device, "cross", hyper=hyper, equal=False), partial(self._own_tile, hyper)

    def _own_tile(self, hyper: dict[str, Any], rows: npt.NDArray[Any]) -> Values:
        """k(rows, rows), symmetric to the last bit."""
        found = self._on_device("cross", rows, rows, hyper=hyper, equal=True)
        return {name: mirrored(value) for name, value in found.items()}

    def _tiling(self, n1: int, n2: int, memory: int | None, symmetric: bool = False) -> Tiling:
        limit = default_memory() if memory is None else memory
        return self._tilings(n1, n2, self.target, limit, workers(self.target), symmetric)
