"""Kernels of whole stages for TPUs: eight first examples by 128 entries of all positions, in vector memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from ntc.backends.jax.pallas.chip import At, Chip, Operand, Result, apart, float32
from ntc.ir.types import Spatial

_VECTOR_MEMORY = 110 * 2**20
"""Of the 128 MiB of a v5e: planes, and the parts of arrays that are at hand, twice as the next ones are fetched."""


class Tpu(Chip):
    """Positions are the outer axes of everything, so that a part along them is a choice of registers."""

    @property
    def tail(self) -> tuple[int, ...]:
        return (self.grid.block_rows, self.grid.block)

    @property
    def slices(self) -> bool:
        return True

    def zeros(self, shape: Sequence[int]) -> jax.Array:
        return jnp.zeros(shape, jnp.float32)

    def legal(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def scratch(self, shape: Sequence[int]) -> Any:
        return pltpu.VMEM(tuple(shape), jnp.float32)

    def call(
        self, kernel: Callable[..., None], operands: Sequence[Operand], results: Sequence[Result], planes: Sequence[Any]
    ) -> Sequence[jax.Array]:
        found: Sequence[jax.Array] = pl.pallas_call(
            kernel,
            grid=self.grid.shape,
            in_specs=[x.spec for x in operands],
            out_specs=[x.spec for x in results],
            out_shape=[float32(x.shape) for x in results],
            scratch_shapes=planes,
            interpret=self.interpret,
            compiler_params=None if self.interpret else pltpu.CompilerParams(vmem_limit_bytes=_VECTOR_MEMORY),
            name="ntc_stage",
        )(*(x.array for x in operands))
        return found

    def first(self, x: jax.Array, lead: int) -> Operand:
        size, others = x.shape[lead], x.shape[lead + 1 : -1]
        rows = self.grid.filled_rows(x, x.ndim - 1).reshape(*x.shape[: lead + 1], prod(others), -1).swapaxes(-1, -2)
        shape = *x.shape[:lead], size, self.grid.block_rows, prod(others)
        spec = pl.BlockSpec(shape, lambda i, row, block: (*(0,) * (lead + 1), i, 0))

        def read(ref: Any, at: At, *where: Any) -> Any:
            *leading, start, _ = where
            column = ref[(*leading, start)]
            spread = [jnp.broadcast_to(column[:, i : i + 1], self.tail) for i in range(prod(others))]
            return jnp.stack(spread).reshape(1, *others, *self.tail)

        return Operand(rows, spec, read)

    def second(self, x: jax.Array, lead: int) -> Operand:
        operand = self._entries(x)

        def read(ref: Any, at: At, *where: Any) -> Any:
            *leading, start, _ = where
            return ref[(*leading, start)][None]

        return Operand(operand.array, operand.spec, read)

    def _entries(self, x: jax.Array) -> Operand:
        """(..., entries) with an axis for rows, in blocks of entries."""
        filled = self.grid.filled(x)[..., None, :]
        leading = filled.shape[:-1]
        spec = pl.BlockSpec((*leading, self.grid.block), lambda i, row, block: (*(0,) * len(leading), block))
        return Operand(filled, spec, lambda ref, at: ref[...])

    def numbers(self, x: jax.Array) -> Operand:
        return Operand(x, pl.BlockSpec(memory_space=pltpu.SMEM), lambda ref, at, *where: ref[(at.lane_row, *where)])

    def scalars(self, x: jax.Array) -> Operand:
        return Operand(x, pl.BlockSpec(memory_space=pltpu.SMEM), lambda ref, at, index: ref[index])

    def over_first_axis(self, x: jax.Array, spatial: Spatial) -> Operand:
        spec = pl.BlockSpec(memory_space=pltpu.SMEM)
        return Operand(x, spec, lambda ref, at, lead, number: ref[lead, at.lane_row, number])

    def over_other_axes(self, x: jax.Array, spatial: Spatial) -> Operand:
        operand = self._entries(x)
        return Operand(operand.array, operand.spec, lambda ref, at, lead: ref[lead][None])

    def over_lanes(self, x: jax.Array, spatial: Spatial) -> Operand:
        alike, size, ones = x.shape[0] == 1, self.grid.block_rows, (1,) * len(spatial)
        filled = self.grid.filled(x)
        rows = jnp.broadcast_to(filled, (size, *filled.shape[1:])) if alike else self.grid.filled_rows(filled, 0)
        spec = self._spec(lambda i: 0 if alike else i)
        return Operand(rows.reshape(rows.shape[0], -1), spec, lambda ref, at: ref[...].reshape(*ones, *self.tail))

    def _spec(self, row_block: Callable[[Any], Any], *positions: int) -> Any:
        """Of (*positions, rows, lane rows * entries)."""
        zeros, blocks = (0,) * len(positions), self.grid.blocks
        return pl.BlockSpec(
            (*positions, *self.tail), lambda i, row, block: (*zeros, row_block(i), row * blocks + block)
        )

    def value(self, x: jax.Array, strides: Sequence[int]) -> Operand:
        filled = self.grid.filled_rows(self.grid.filled(x), x.ndim - 3)
        array = apart(filled.reshape(*filled.shape[:-2], -1), strides, 2)

        def read(ref: Any, at: At, residues: Sequence[Any], start: Any, count: int) -> Any:
            others = [i for residue in residues[1:] for i in (slice(None), residue)]
            return ref[(pl.ds(start, count), residues[0], *others)]

        return Operand(array, self._spec(lambda i: i, *array.shape[:-2]), read)

    def stored(self, spatial: Spatial) -> Result:
        grid = self.grid
        shape = *spatial, grid.row_blocks * grid.block_rows, grid.lane_rows * grid.blocks * grid.block

        def write(ref: Any, at: At, value: jax.Array, start: Any, count: int) -> None:
            ref[pl.ds(start, count)] = value

        def finish(x: jax.Array) -> jax.Array:
            return x.reshape(*x.shape[:-1], grid.lane_rows, -1)[..., : grid.rows, :, : grid.entries]

        spec = self._spec(lambda i: i, *spatial)
        return Result(shape, spec, write, finish)

    def summed(self, spatial: Spatial) -> Result:
        grid = self.grid
        shape = grid.row_blocks * grid.block_rows, grid.lane_rows * grid.blocks * grid.block

        def write(ref: Any, at: At, value: jax.Array) -> None:
            ref[...] = value.sum(tuple(range(len(spatial))))

        def finish(x: jax.Array) -> jax.Array:
            return x.reshape(x.shape[0], grid.lane_rows, -1).sum(1)[: grid.rows, : grid.entries]

        return Result(shape, self._spec(lambda i: i), write, finish)
