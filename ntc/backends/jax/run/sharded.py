"""Kernel matrices whose tiles are dealt to several devices, each of which holds all examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntc.backends.jax.run.tiles import Examples, Progress, TiledMatrix, Values
from ntc.errors import UnsupportedError
from ntc.ir.kernel.readout import mirrored
from ntc.ir.types import Target
from ntc.plan.tiles import Tiling

_AXIS = "tiles"
_UNEVEN = 1.05
"""Most work of a device relative to an even share, where tiles can be made smaller."""

_SMALLEST = 16
"""Side below which tiles are not made smaller for the sake of even shares."""


def device_mesh(devices: int | Mesh, target: Target) -> Mesh:
    """The devices of a mesh, or so many of the target, along one axis. Raises UnsupportedError."""
    if isinstance(devices, Mesh):
        return Mesh(devices.devices.ravel(), (_AXIS,))
    try:
        found = jax.devices(target)
    except RuntimeError:
        found = []
    if len(found) < devices:
        hint = " (XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU)" if target == "cpu" else ""
        raise UnsupportedError(
            f"the program is for {devices} devices, and JAX finds {len(found)} of {target} here",
            hint=f"use fewer devices{hint}",
        )
    return Mesh(np.array(found[:devices]), (_AXIS,))


def sharded(tile: Callable[..., Any], mesh: Mesh, tiling: Tiling, symmetric: bool) -> Any:
    """The jitted function (x1, x2, starts, equal, options) of one tile for each of the devices.

    Args:
      tile: k(rows, columns, equal=..., **options) of one tile.
      symmetric: whether `equal` is handed to it.

    x1 and x2 are all examples, on every device. `starts` (devices, 2) has the first row and column of the tile of each
    device, `equal` (devices,) whether rows and columns are the same; `options` are alike for all. Results are
    (devices, rows, columns, ...).
    """

    def of_one(x1: jax.Array, x2: jax.Array, starts: jax.Array, equal: jax.Array, options: dict[str, Any]) -> Any:
        rows = jax.lax.dynamic_slice_in_dim(x1, starts[0, 0], tiling.rows)
        columns = jax.lax.dynamic_slice_in_dim(x2, starts[0, 1], tiling.columns)
        flags = {"equal": equal[0]} if symmetric else {}
        values = tile(rows, columns, **flags, **options)
        return {name: value[None] for name, value in values.items()}

    everywhere, own = PartitionSpec(), PartitionSpec(_AXIS)  # type: ignore[no-untyped-call]
    specs = (everywhere, everywhere, own, own, everywhere)
    return jax.jit(jax.shard_map(of_one, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False))


@dataclass(frozen=True)
class ShardedMatrix:
    """A matrix of which every device computes one tile at a time.

    Attributes:
      mesh: the devices, along one axis.
      whole: what knows the tiles, and writes them.
      options: what the function of a tile is given beside them.
    """

    mesh: Mesh
    whole: TiledMatrix
    options: dict[str, Any]

    def compute(self, compiled: Callable[..., Any], progress: Progress | None) -> None:
        """Fills the matrix. One step is computed while the one before is read.

        `compiled` gives a function as of `sharded`, ready to run on arguments like those it is given.
        """
        tiles, arrays, done = list(self.whole.tiles()), self.arrays(), 0
        everywhere = NamedSharding(self.mesh, PartitionSpec())  # type: ignore[no-untyped-call]
        options = jax.device_put(self.options, everywhere)
        report = progress or (lambda done, total: None)
        report(0, len(tiles))
        steps = list(self._steps(tiles))
        function = compiled(*arrays, *self.places(steps[0]), options)
        before: tuple[Sequence[tuple[int, int]], dict[str, jax.Array]] | None = None
        for step in [*steps, None]:
            running = None if step is None else (step, function(*arrays, *self.places(step), options))
            if before is not None:
                self._write(*before)
                done += len(before[0])
                report(done, len(tiles))
            before = running

    def arrays(self) -> tuple[jax.Array, jax.Array]:
        """All examples, padded to whole tiles, on every device."""
        put = partial(jax.device_put, device=NamedSharding(self.mesh, PartitionSpec()))  # type: ignore[no-untyped-call]
        x1, x2, tiling = self.whole.x1, self.whole.x2, self.whole.tiling
        first = put(_whole_tiles(x1, tiling.rows))
        return first, first if x2 is None else put(_whole_tiles(x2, tiling.columns))

    def places(self, step: Sequence[tuple[int, int]]) -> tuple[jax.Array, jax.Array]:
        """First rows and columns, and whether these are the same, for every device. Devices without a tile of their
        own repeat the last one."""
        filled = [*step, *[step[-1]] * (self.mesh.size - len(step))]
        starts = np.array(filled, np.int32)
        equal = np.array([self.whole.on_diagonal(i, j) for i, j in filled])
        put = partial(jax.device_put, device=NamedSharding(self.mesh, PartitionSpec(_AXIS)))  # type: ignore[no-untyped-call]
        return put(jnp.asarray(starts)), put(jnp.asarray(equal))

    def _steps(self, tiles: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
        remaining = iter(tiles)
        while step := list(islice(remaining, self.mesh.size)):
            yield step

    def _write(self, step: Sequence[tuple[int, int]], found: dict[str, jax.Array]) -> None:
        values: Values = {name: np.asarray(value) for name, value in found.items()}
        for device, (i, j) in enumerate(step):
            tile = {name: value[device] for name, value in values.items()}
            if self.whole.on_diagonal(i, j):
                tile = {name: mirrored(value) for name, value in tile.items()}
            self.whole.write(i, j, tile)


def even(tiling: Tiling, devices: int, n1: int, n2: int, symmetric: bool) -> Tiling:
    """Smaller tiles, if that many devices would otherwise not have nearly the same number of them."""
    while True:
        rows, columns = -(-n1 // tiling.rows), -(-n2 // tiling.columns)
        count = rows * (rows + 1) // 2 if symmetric else rows * columns
        if -(-count // devices) * devices <= _UNEVEN * count or max(tiling.rows, tiling.columns) <= _SMALLEST:
            return tiling
        halved = Tiling(-(-tiling.rows // 2), tiling.columns)
        if symmetric:
            halved = Tiling(halved.rows, halved.rows)
        elif tiling.columns > tiling.rows:
            halved = Tiling(tiling.rows, -(-tiling.columns // 2))
        tiling = halved


def _whole_tiles(x: Examples, size: int) -> npt.NDArray[Any]:
    missing = -len(x) % size
    return np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)]) if missing else x
