"""Kernels of whole stages for Hopper GPUs and later: a warp group for some entries of all positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from ntc.backends.jax.pallas.chip import At, Chip, Operand, Result, apart, float32
from ntc.backends.jax.pallas.primitives import power, rewritten, root
from ntc.errors import UnsupportedError
from ntc.ir.types import Spatial

_RULES = {"sqrt": root, "integer_pow": power}


class Gpu(Chip):
    """Planes are in shared memory, all else in global memory, where it is read strip by strip.

    What belongs to first examples is repeated for all entries of a block: a vector has no axis to broadcast along.
    """

    @property
    def tail(self) -> tuple[int, ...]:
        return (self.grid.block,)

    @property
    def slices(self) -> bool:
        return False

    def zeros(self, shape: Sequence[int]) -> jax.Array:
        zeros = jnp.zeros(shape, jnp.float32)
        if self.interpret:
            return zeros
        gpu, per_thread = mosaic(), prod(shape) // 128
        vector = next(n for n in (8, 4, 2, 1) if per_thread % n == 0)
        laid: jax.Array = gpu.layout_cast(zeros, gpu.Layout.WG_STRIDED(tuple(shape), vec_size=vector))
        return laid

    def legal(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return rewritten(function, _RULES)

    def scratch(self, shape: Sequence[int]) -> Any:
        if self.interpret:
            return pltpu.VMEM(tuple(shape), jnp.float32)
        return mosaic().SMEM(tuple(shape), jnp.float32)

    def call(
        self, kernel: Callable[..., None], operands: Sequence[Operand], results: Sequence[Result], planes: Sequence[Any]
    ) -> Sequence[jax.Array]:
        far = pl.BlockSpec() if self.interpret else pl.BlockSpec(memory_space=mosaic().GMEM)
        found: Sequence[jax.Array] = pl.pallas_call(
            kernel,
            grid=self.grid.shape,
            in_specs=[far] * len(operands),
            out_specs=[far] * len(results),
            out_shape=[float32(x.shape) for x in results],
            scratch_shapes=planes,
            interpret=self.interpret,
            compiler_params=None if self.interpret else mosaic().CompilerParams(approx_math=False),
            name="ntc_stage",
        )(*(x.array for x in operands))
        return found

    def first(self, x: jax.Array, lead: int) -> Operand:
        by_row = jnp.moveaxis(x, -1, 0)[..., None]
        wide = jnp.broadcast_to(by_row, (*by_row.shape[:-1], self.grid.block))

        def read(ref: Any, at: At, *where: Any) -> Any:
            *leading, start, count = where
            return ref[(at.row, *leading, pl.ds(start, count))]

        return Operand(wide, None, read)

    def second(self, x: jax.Array, lead: int) -> Operand:
        array = jnp.moveaxis(self._blocks(x), -2, lead)

        def read(ref: Any, at: At, *where: Any) -> Any:
            *leading, start, count = where
            return ref[(*leading, at.block, pl.ds(start, count))]

        return Operand(array, None, read)

    def _blocks(self, x: jax.Array) -> jax.Array:
        """(..., entries) to (..., blocks, entries of a block)."""
        filled = self.grid.filled(x)
        return filled.reshape(*filled.shape[:-1], self.grid.blocks, self.grid.block)

    def numbers(self, x: jax.Array) -> Operand:
        return Operand(x, None, lambda ref, at, *where: ref[(at.lane_row, *where)])

    def scalars(self, x: jax.Array) -> Operand:
        return Operand(x, None, lambda ref, at, index: ref[index])

    def over_first_axis(self, x: jax.Array, spatial: Spatial) -> Operand:
        strip = self.fused.strip(spatial)
        if strip == 1:
            return Operand(x, None, lambda ref, at, lead, number: ref[lead, at.lane_row, number])
        ones = (1,) * len(spatial)
        wide = jnp.broadcast_to(x.reshape(*x.shape, *ones), (*x.shape, *spatial[1:], self.grid.block))
        return Operand(wide, None, lambda ref, at, lead, number: ref[lead, at.lane_row, pl.ds(number * strip, strip)])

    def over_other_axes(self, x: jax.Array, spatial: Spatial) -> Operand:
        blocks = jnp.moveaxis(self._blocks(x), -2, 1)[:, :, None]
        wide = jnp.broadcast_to(blocks, (*blocks.shape[:2], *self.strip_shape(spatial)))
        return Operand(wide, None, lambda ref, at, lead: ref[lead, at.block])

    def over_lanes(self, x: jax.Array, spatial: Spatial) -> Operand:
        blocks, ones = self._blocks(x), (1,) * len(spatial)
        wide = blocks.reshape(*blocks.shape[:-1], *ones, self.grid.block)
        wide = jnp.broadcast_to(wide, (*blocks.shape[:-1], *self.strip_shape(spatial)))
        alike = x.shape[0] == 1
        return Operand(wide, None, lambda ref, at: ref[0 if alike else at.row, at.lane_row, at.block])

    def value(self, x: jax.Array, strides: Sequence[int]) -> Operand:
        array, block = apart(self.grid.filled(x), strides), self.grid.block

        def read(ref: Any, at: At, residues: Sequence[Any], start: Any, count: int) -> Any:
            others = [i for residue in residues[1:] for i in (slice(None), residue)]
            entries = at.row, at.lane_row, pl.ds(at.block * block, block)
            return ref[(pl.ds(start, count), residues[0], *others, *entries)]

        return Operand(array, None, read)

    def stored(self, spatial: Spatial) -> Result:
        grid, block = self.grid, self.grid.block
        shape = *spatial, grid.rows, grid.lane_rows, grid.blocks * block

        def write(ref: Any, at: At, value: jax.Array, start: Any, count: int) -> None:
            others = (slice(None),) * (len(spatial) - 1)
            ref[(pl.ds(start, count), *others, at.row, at.lane_row, pl.ds(at.block * block, block))] = value

        return Result(shape, None, write, lambda x: x[..., : grid.entries])

    def summed(self, spatial: Spatial) -> Result:
        grid, strip = self.grid, self.strip_shape(spatial)

        def write(ref: Any, at: At, value: jax.Array) -> None:
            ref[at.row, at.lane_row, at.block] = value

        def finish(x: jax.Array) -> jax.Array:
            sums = x.sum((1, *range(3, 3 + len(spatial))))
            return sums.reshape(grid.rows, -1)[:, : grid.entries]

        shape = grid.rows, grid.lane_rows, grid.blocks, *strip
        return Result(shape, None, write, finish)


def mosaic() -> Any:
    """JAX's kernels for GPUs, which not every installation can load. Raises UnsupportedError."""
    try:
        from jax.experimental.pallas import mosaic_gpu
    except ImportError as error:
        raise UnsupportedError(
            f"this installation of JAX cannot make kernels for GPUs: {error}", hint="pip install absl-py"
        ) from error
    return mosaic_gpu
