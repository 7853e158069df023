"""Jobs: their time beside that of the program, the time of a task beyond its tile, and a million examples as far as
plan, store and driver go.

The second table fills a store with empty files in place of blocks, by the engine `Pretending`: all is real but
the numbers.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

import ntc
from benchmarks.cases import ROOT
from benchmarks.measure import markdown
from ntc import jobs
from ntc.backends.jax.program import Program
from ntc.backends.jax.result import Kernels
from ntc.compiler import lower
from ntc.jobs.blocks import Task
from ntc.jobs.manifest import Manifest, Part, Versions
from ntc.jobs.plan import Plan, Wish, make_plan
from ntc.jobs.store import Store
from ntc.jobs.work import Done
from ntc.price import known_rates

EXAMPLES = ROOT.parent / "examples"
MODELS = {"fully connected": ("digits_fc.nt", None), "pooled": ("digits_cnn.nt", None)}
_REPEATS = 2
LARGE = (
    ("fully connected", "digits_fc.nt", None, "cpu"),
    ("pooled", "digits_cnn.nt", None, "cpu"),
    ("WRN-28", "wrn.nt", None, "h100"),
    ("Myrtle-10", "myrtle.nt", "myrtle10", "h100"),
)


def main(quick: bool = False) -> str:
    """Two tables. `quick` is of few examples."""
    n, large = (96, 20_000) if quick else (2000, 1_000_000)
    small = [_beside_program(name, n) for name in (list(MODELS)[:1] if quick else MODELS)]
    header = ("network", "examples", "program s", "job s", "ratio", "tasks", "tasks of a tile", "each beyond it ms")
    first = markdown(header, small)
    header = ("network", "device", "examples", "tile", "block", "tasks", "task s", "plan s", "listing s", "driver MiB")
    second = markdown(header, [_pretended(*case, large) for case in (LARGE[:1] if quick else LARGE)])
    return f"{first}\n\n{second}"


def _beside_program(network: str, n: int) -> tuple[object, ...]:
    """Of one network: a job of few blocks beside the program with the same tile, and one of a tile each beside the
    program called for these. All are compiled before; the least of some processor times counts."""
    file, model = MODELS[network]
    program = ntc.build(ntc.load_graph(EXAMPLES / file, model))
    x = np.random.default_rng(0).normal(size=(n, 8, 8, 1)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        usual = jobs.create(program, x, store=Path(folder) / "usual.zarr")
        tile = usual.manifest.tile
        many = jobs.create(program, x, store=Path(folder) / "many.zarr", tile=tile, block=tile)
        ways = {"program": lambda: program(x, tile=tile), "job": usual.run, "many": many.run}
        ways["tiles"] = lambda: [_tile(program, x, tile, task) for task in many.manifest.blocks.tasks()]
        for job in (usual, many):
            jobs.work(job.store.address, (0, 0))  # opens the store, and compiles
        seconds = dict.fromkeys(ways, np.inf)
        for _ in range(_REPEATS):
            for job in (usual, many):
                for task in job.manifest.blocks.tasks():
                    job.store.delete("nngp", task)
            for name, run in ways.items():
                seconds[name] = min(seconds[name], _timed(run))
    count, each = usual.manifest.blocks.count, many.manifest.blocks.count
    beyond = 1e3 * (seconds["many"] - seconds["tiles"]) / each
    return network, n, seconds["program"], seconds["job"], seconds["job"] / seconds["program"], count, each, beyond


def _tile(program: Program, x: npt.NDArray[np.float32], tile: int, task: Task) -> Kernels:
    """What a task of one tile computes."""
    first, second = (x[i * tile : (i + 1) * tile] for i in task)
    return program(first, tile=tile) if task[0] == task[1] else program(first, second, tile=tile)


def _timed(function: Callable[[], object]) -> float:
    """Processor seconds: others may use the machine."""
    start = time.process_time()
    function()
    return time.process_time() - start


class Pretending:
    """An engine that puts empty files where blocks belong."""

    def run(self, url: str, tasks: Iterable[Task]) -> Iterator[Done]:
        """Of each task."""
        root = Path(url) / "nngp" / "c"
        for i, j in tasks:
            row = root / str(i)
            row.mkdir(parents=True, exist_ok=True)
            (row / str(j)).touch()
            yield Done((i, j), 0.0, 0.0, "pretended", True)


def _pretended(name: str, file: str, model: str | None, device: str, n: int) -> tuple[object, ...]:
    rates = known_rates(device)
    graph = lower(ntc.load_graph(EXAMPLES / file, model), kernels=("nngp",))
    start = time.perf_counter()
    plan = make_plan(graph, rates.target, rates, n, None, Wish(workers=64))
    planned = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        job = _store(Path(folder) / "k.zarr", plan, rates.target)
        tracemalloc.start()
        job.run(Pretending())
        start = time.perf_counter()
        assert job.missing == 0
        listed = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    blocks = plan.blocks
    return name, device, n, plan.tile, blocks.side, blocks.count, plan.block_seconds or 0.0, planned, listed, peak


def _store(path: Path, plan: Plan, target: str) -> jobs.Job:
    """A store without a program."""
    facts = {"dtype": "f32", "target": target, "kernel_path": "auto", "hyper": {}, "network": "", "graph": ""}
    manifest = Manifest(
        format=1,
        symmetric=True,
        kernels=("nngp",),
        x1=(Part(examples=plan.blocks.n1, sha256=""),),
        x2=(),
        seed=0,
        refine=True,
        tile=plan.tile,
        block=plan.blocks.side,
        versions=(Versions.here(),),
        seconds=plan.block_seconds,
        **facts,
    )
    store = Store(path)
    store.create(manifest, b"none", {"nngp": ()})
    store.write_manifest(manifest)
    return jobs.Job(store, manifest)
