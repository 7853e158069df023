"""What decides how programs for a target are made: one value for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ntc.ir.types import Target


@dataclass(frozen=True)
class FastMemory:
    """What a kernel that computes a whole stage works in, for some entries of all positions at a time.

    Attributes:
      bytes: that values of such a kernel may take together.
      rows: first examples at a time.
      entries: how many entries of a row of lanes at a time; the fewest that fit are taken.
      vector: of how many entries a vector consists: those of some positions and all examples at hand.
      longest: the most entries of the positions that are computed at once.
      tables: bytes that what is read of second examples may take, where a kernel has all of it at hand; None where it
        stays in the memory of the device.
    """

    bytes: int
    rows: int
    entries: tuple[int, ...]
    vector: int
    longest: int
    tables: int | None = None


@dataclass(frozen=True)
class Platform:
    """A target of the compiler.

    Attributes:
      chunk_bytes: size of one value of a chunk of rows and lanes, of which about six are alive at once. On a CPU they
        should stay in the cache of a core, on accelerators be large against the cost of a launch.
      tile_per_core: whether a tile keeps one core busy, so that as many are computed at once as there are cores, each
        no larger than is of use.
      copies_when_fusing: whether the compiler fuses what is cheap into each of its readers whatever is in between, so
        that what is to be stored must be a call.
      branches: whether a choice between computing a row and leaving it costs next to nothing, so that one is made for
        every row; on accelerators every branch is a wait for the device.
      margins: whether zeros are written around values that filters read, rather than brought in where they are read.
      unrolled: up to so many repeated blocks of values without positions are written out, which then are one
        computation where a loop launches several for every block.
      fast: memory next to the arithmetic, in which stages can be computed by one kernel each; None if there are no such
        kernels.
      compiler_options: what is asked of the compiler. Only time depends on it, so that a version without one of them
        is asked without it.
    """

    chunk_bytes: int
    tile_per_core: bool = False
    copies_when_fusing: bool = False
    branches: bool = False
    margins: bool = False
    unrolled: int = 0
    fast: FastMemory | None = None
    compiler_options: Mapping[str, bool] = field(default_factory=dict)


PLATFORMS: Mapping[Target, Platform] = {
    "cpu": Platform(
        chunk_bytes=192 * 2**10,
        tile_per_core=True,
        copies_when_fusing=True,
        branches=True,
        margins=True,
        # The older emitters of XLA:CPU, which jax 0.11.2 has no more, compile in two thirds of the time; code for
        # chunks of lanes is as fast, that for whole matrices is slower by a tenth to a third.
        compiler_options={"xla_cpu_use_fusion_emitters": False},
    ),
    "cuda": Platform(
        chunk_bytes=64 * 2**20,
        unrolled=8,
        # Shared memory of an H100 is 227 KiB for a block of threads. A warp group is 128 threads.
        fast=FastMemory(bytes=224 * 2**10, rows=1, entries=(4, 8, 16, 32, 64, 128), vector=128, longest=1024),
    ),
    "tpu": Platform(
        chunk_bytes=16 * 2**20,
        # Vector memory of a v5e is 128 MiB. A register is 8 rows of 128 lanes.
        fast=FastMemory(bytes=64 * 2**20, rows=8, entries=(128,), vector=1024, longest=64 * 1024, tables=24 * 2**20),
    ),
}
