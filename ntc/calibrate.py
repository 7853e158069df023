"""Measures the rates of this machine's device: a few small programs, timed, and a fit of seconds per unit of work."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.backends.jax.program import Program
from ntc.backends.jax.run.tiles import workers
from ntc.compiler import build
from ntc.frontend import nn
from ntc.frontend.layers import Layer, Network
from ntc.ir.types import Target
from ntc.ir.work import Work
from ntc.plan.tiles import default_memory
from ntc.price.cost import tiles_of
from ntc.price.rates import CORE, Rates
from ntc.price.work import computations, tile_work

_KINDS = tuple(field.name for field in fields(Work))
_RATHER = 0.03
"""Weight of the prior, the rates of a typical device, beside one measurement; it decides what no program tells."""


@dataclass(frozen=True)
class Sample:
    """A small program and the number of examples on each side."""

    name: str
    network: Network
    examples: int


@dataclass(frozen=True)
class Measured:
    """One program: its work in all of one worker, its computations, and seconds to run and to compile it."""

    name: str
    work: Work
    computations: int
    seconds: float
    compile_seconds: float


def _layers(depth: int, kernel: int = 3) -> Layer:
    return nn.repeat(depth, nn.serial(nn.conv(8, kernel, w_std=1.4), nn.relu()))


def samples() -> tuple[Sample, ...]:
    """Each leans on another kind of work: filters, integrals with roots and with transcendental functions, products,
    poolings of whole values, short loops."""
    dense = nn.dense(8, 1.4)
    return (
        Sample("call", nn.input(2) >> dense, 2),
        Sample("product", nn.input(2048) >> dense, 1024),
        Sample("dense relu", nn.input(64) >> nn.repeat(12, nn.serial(dense, nn.relu())) >> dense, 768),
        Sample("dense erf", nn.input(64) >> nn.repeat(6, nn.serial(dense, nn.erf())) >> dense, 512),
        Sample("filters", nn.input(16, 16, 3) >> _layers(3, 7) >> nn.global_avg_pool(), 8),
        Sample("filters relu", nn.input(24, 24, 3) >> _layers(6) >> nn.global_avg_pool(), 4),
        Sample("one axis", nn.input(96, 3) >> _layers(6) >> nn.global_avg_pool(), 16),
        Sample("diagonal", nn.input(24, 24, 3) >> _layers(8) >> nn.flatten(), 32),
        Sample("pooled", nn.input(24, 24, 3) >> _layers(2) >> nn.avg_pool(2) >> nn.flatten(), 8),
        Sample(
            "pooled twice",
            nn.input(16, 16, 3) >> nn.repeat(2, nn.serial(_layers(1), nn.avg_pool(2))) >> nn.flatten(),
            16,
        ),
        Sample("small image", nn.input(8, 8, 1) >> _layers(3) >> nn.global_avg_pool(), 48),
    )


def calibrate(
    target: Target = "cpu", progress: Callable[[int, int], None] | None = None, repeat: int = 5
) -> tuple[Rates, Mapping[str, float]]:
    """The rates of the device of this machine, and how far the fit is off for every program (predicted / measured).

    The time of a program is linear in the rates: non-negative least squares of relative errors. Memory at rest is that
    of this process after the smallest program. Raises UnsupportedError if there is no such device.
    """
    found: list[Measured] = []
    runtime, wanted = 0, samples()
    for done, sample in enumerate(wanted):
        if progress:
            progress(done, len(wanted))
        found.append(measured(sample, target, repeat))
        runtime = runtime or _resident()
    compiled = max(0, _resident() - runtime) / sum(x.computations for x in found)
    name = build(wanted[0].network, target).device_kind
    rates = fitted(name, target, found, runtime, compiled)
    if progress:
        progress(len(wanted), len(wanted))
    return rates, {x.name: rates.seconds(x.work) / x.seconds for x in found}


def measured(sample: Sample, target: Target, repeat: int) -> Measured:
    """Runs one program: the first call compiles, the fastest of the later ones counts."""
    program = build(sample.network, target)
    shape = (sample.examples, *sample.network.first.spatial, sample.network.first.channels)
    x1, x2 = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    seconds = []
    for _ in range(1 + repeat):
        start = time.perf_counter()
        program(x1, x2)
        seconds.append(time.perf_counter() - start)
    best = min(seconds[1:])
    graph = program.graphs["cross"]
    return Measured(sample.name, _work(program, sample.examples), computations(graph), best, seconds[0] - best)


def _work(program: Program, n: int) -> Work:
    """Of the busiest worker."""
    graph, target = program.graphs["cross"], program.target
    tiling, tiles = tiles_of(graph, CORE, n, n, False, default_memory(), workers(target))
    per_tile = tile_work(graph, target, tiling.rows, tiling.columns)
    rounds = -(-tiles // workers(target))
    return sum(per_tile.values(), Work(calls=1)) * rounds


def fitted(name: str, target: Target, found: list[Measured], runtime: float, compiled: float) -> Rates:
    """The rates that explain the measurements of the device of this name best."""
    prior = CORE
    run = _fit([astuple(x.work) for x in found], [x.seconds for x in found], [getattr(prior, kind) for kind in _KINDS])
    compile_ = _fit(
        [(1.0, float(x.computations)) for x in found],
        [x.compile_seconds for x in found],
        [prior.program, prior.computation],
    )
    return Rates(
        name=name,
        target=target,
        source="measured by ntc calibrate",
        measured=True,
        **dict(zip(_KINDS, run, strict=True)),
        program=compile_[0],
        computation=compile_[1],
        runtime=float(runtime),
        compiled=float(compiled),
    )


def _fit(amounts: list[Any], seconds: list[float], prior: list[float]) -> list[float]:
    """Rates r >= 0 that minimise |A r / t - 1|^2 + w |r / prior - s|^2, where s is how many times as fast as the
    prior the device is on the whole."""
    from scipy.optimize import nnls

    scaled: npt.NDArray[np.float64] = np.array(amounts, np.float64) * prior / np.array(seconds)[:, None]
    speed = float(np.median(1 / scaled.sum(1)))
    eye = np.sqrt(_RATHER) * np.eye(len(prior))
    matrix = np.concatenate([scaled * speed, eye])
    aim = np.concatenate([np.ones(len(seconds)), np.sqrt(_RATHER) * np.ones(len(prior))])
    relative, _ = nnls(matrix, aim)
    return [float(r * speed * p) for r, p in zip(relative, prior, strict=True)]


def _resident() -> int:
    """Bytes of this process that were resident at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
