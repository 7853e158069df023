"""What commands on stores of kernels share: options, engines, progress, and what they print."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import typer

from ntc.cli import files, options
from ntc.cli.announce import count
from ntc.cli.console import reporting, stderr
from ntc.cli.price import duration, size
from ntc.errors import UsageError

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.jobs.engines import Engine
    from ntc.jobs.plan import Plan
    from ntc.jobs.run import Event

EngineName = Literal["process", "dask", "slurm", "ray", "beam"]

StorePath = Annotated[str, typer.Argument(help="A store: a folder, or a URL such as s3://...", show_default=False)]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Compute block by block into a store, from what is there: folder or URL.")
]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="What computes the blocks of a store.")]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of Dask or Ray, cluster of submitit, runner of Beam.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="How many workers an engine starts, or has.")]
Gpus = Annotated[int, typer.Option("--gpus", min=0, help="GPUs of each worker, where the engine gives them out.")]
TileOption = Annotated[
    int | None, typer.Option("--tile", min=1, help="Examples on either side of a computation, to which bits belong.")
]
BlockOption = Annotated[
    int | None,
    typer.Option("--block", min=1, help="Examples on either side of a stored block, a multiple of the tile."),
]
Device = Annotated[str | None, typer.Option("--device", help="Whose speed to plan for: h100, ...; see ntc explain.")]
Force = Annotated[bool, typer.Option("--force", help="Take blocks of over ten minutes, or over 512 MiB.")]
AcceptVersions = Annotated[
    bool, typer.Option("--accept-versions", help="Go on with other versions of ntc, jax, jaxlib, and record them.")
]
Extend = Annotated[bool, typer.Option("--extend", help="Add the examples that are behind those of the store.")]
Log = Annotated[Path | None, typer.Option("--log", help="Append every event to a file as a line of JSON.")]

_CELLS = 32
"""Of the picture of a store, on either side."""


@dataclass(frozen=True)
class Crew:
    """The engine that is asked for: its name, and the options that some of them take."""

    engine: EngineName = "process"
    scheduler: str | None = None
    workers: int = 1
    gpus: int = 0
    devices: int = 1

    @contextmanager
    def made(self, store: str) -> Iterator[Engine]:
        """The engine, and what it needs while it runs. Raises UnsupportedError if it is not installed."""
        from ntc import jobs

        if self.engine == "dask":
            with jobs.dask_client(self.scheduler, self.workers) as client:
                yield jobs.Dask(client)
        elif self.engine == "slurm":
            gpus = {"gpus_per_node": self.gpus} if self.gpus else {}
            yield jobs.Slurm(f"{store}.slurm", self.workers, self.scheduler, **gpus)
        elif self.engine == "ray":
            yield jobs.Ray(self.scheduler, **({"num_gpus": self.gpus} if self.gpus else {}))
        elif self.engine == "beam":
            yield jobs.Beam([] if self.scheduler is None else [f"--runner={self.scheduler}"])
        else:
            yield jobs.InProcess(self.devices)

    @property
    def shared(self) -> bool:
        """Whether workers are processes of this machine."""
        return self.engine in ("dask", "ray") and self.scheduler is None

    def check(self) -> None:
        """Raises UsageError for options that are not of the engine."""
        if self.engine == "process":
            given = {"--scheduler": self.scheduler, "--gpus": self.gpus, "--workers": self.workers > 1}
            options.together("an --engine that has workers", None, given, allowed=True)
        elif self.devices > 1:
            raise UsageError("--devices is for --engine process", hint="give every worker one device")
        if self.gpus and self.engine in ("dask", "beam"):
            hint = "begin every worker with CUDA_VISIBLE_DEVICES, see docs/jobs.md"
            raise UsageError(f"--engine {self.engine} gives out no GPUs", hint=hint)


@dataclass(frozen=True)
class Cut:
    """How a store is to be cut, and what is taken all the same."""

    tile: int | None = None
    block: int | None = None
    device: str | None = None
    force: bool = False
    accept_versions: bool = False
    extend: bool = False


def fill(
    program: Program,
    arguments: dict[str, Any],
    store: str,
    crew: Crew,
    cut: Cut,
    plan_alone: bool,
    log: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Computes what is missing in a store, which is made if it is not there; then writes the matrices, if they are
    asked for. Or says what that will take."""
    from ntc import jobs
    from ntc.jobs.create import planned
    from ntc.jobs.plan import Wish

    if plan_alone:
        n1, n2 = count(arguments["x1"]), count(arguments["x2"]) if "x2" in arguments else None
        found = planned(program, n1, n2, Wish(cut.tile, cut.block, crew.workers, crew.shared), cut.device)
        print(json.dumps(plan_facts(found, crew.workers)) if as_json else "\n".join(plan_lines(found, crew.workers)))
        return
    crew.check()
    start = time.perf_counter()
    job = jobs.create(program, **arguments, store=store, workers=crew.workers, **asdict(cut))
    before = job.missing
    with crew.made(store) as engine, watching(log) as report:
        job.run(engine, report)
    seconds = time.perf_counter() - start
    if output is not None:
        files.write_arrays(output, {label: np.asarray(job.kernel(label)) for label in job.manifest.kernels})
    blocks, shapes = job.manifest.blocks, {label: job.kernel(label).shape for label in job.manifest.kernels}
    facts = {"store": store, "shapes": shapes, "blocks": blocks.count, "computed": before, "seconds": seconds}
    listed = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    text = f"{store}: {listed}; {before} of {blocks.count} blocks computed in {seconds:.1f} s"
    print(json.dumps(facts) if as_json else text)


@contextmanager
def watching(log: Path | None) -> Iterator[Callable[[Event], None]]:
    """What is called with the events of a job: a bar on a terminal, and lines of JSON in a file."""
    with reporting() as bars, nullcontext() if log is None else open(log, "a", encoding="utf-8") as file:

        def report(event: Event) -> None:
            bars("blocks", event["done"], event["total"])
            if event.get("failure"):
                text = f"block {event['block'][0]},{event['block'][1]}: {event['message'].splitlines()[0]}"
                stderr.print(text, markup=False, highlight=False, soft_wrap=True)
            if file is not None:
                print(json.dumps(event), file=file, flush=True)

        yield report


def plan_facts(plan: Plan, workers: int) -> dict[str, Any]:
    """A plan, for JSON."""
    price = plan.price
    return {
        "n1": plan.blocks.n1,
        "n2": plan.blocks.n2,
        "tile": plan.tile,
        "block": plan.blocks.side,
        "tasks": plan.blocks.count,
        "task_seconds": plan.block_seconds,
        "start_seconds": plan.start_seconds,
        "workers": workers,
        "wall_seconds": plan.wall_seconds(workers),
        "stored_bytes": plan.stored_bytes,
        "block_bytes": plan.block_bytes,
        "worker_bytes": plan.worker_bytes,
        "solve_seconds": plan.solve_seconds,
        "solve_bytes": plan.solve_bytes,
        "device": None if price is None else price.device,
        "measured": price is not None and price.measured,
    }


def plan_lines(plan: Plan, workers: int) -> Iterator[str]:
    """A plan, as text."""
    blocks, price = plan.blocks, plan.price
    what = f"k(x, x) of {blocks.n1} examples" if blocks.symmetric else f"{blocks.n1} x {blocks.n2} examples"
    yield f"{what}: {_tasks(blocks.count)}, blocks of {blocks.side} x {blocks.side} in tiles of {plan.tile}"
    if price is None:
        yield "  time: nothing is known of the device; --device names one, or `ntc calibrate` measures it"
    else:
        kind = "measured" if price.measured else "not measured"
        start = f"{duration(plan.start_seconds or 0.0)} for every worker to begin and compile"
        yield f"  a task {duration(plan.block_seconds or 0.0)} on {price.device} ({kind}); {start}"
        for count in sorted({1, workers}):
            crew = "1 worker" if count == 1 else f"{count} workers"
            yield f"  {crew}: {duration(plan.wall_seconds(count) or 0.0)}"
    yield f"  stored {size(plan.stored_bytes)}, a block {size(plan.block_bytes)}; a worker {size(plan.worker_bytes)}"
    if blocks.symmetric:
        yield f"  to solve by Cholesky here: {size(plan.solve_bytes)}, {duration(plan.solve_seconds)}"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


def picture(present: npt.NDArray[np.bool_], symmetric: bool) -> str:
    """The blocks (rows, columns) that are there, as lines of text: all █, some ▒, none ·, blank below the diagonal."""
    wanted = np.triu(np.ones_like(present)) if symmetric else np.ones_like(present)
    edges = [np.linspace(0, n, min(n, _CELLS) + 1).astype(int) for n in present.shape]
    lines = []
    for top, bottom in zip(edges[0], edges[0][1:], strict=False):
        line = ""
        for left, right in zip(edges[1], edges[1][1:], strict=False):
            cell = wanted[top:bottom, left:right]
            done = int((present[top:bottom, left:right] & cell).sum())
            line += " " if not cell.any() else "█" if done == cell.sum() else "▒" if done else "·"
        lines.append(line)
    return "\n".join(lines)
