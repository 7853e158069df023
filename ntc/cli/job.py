"""ntc job: what is to be known and done of a store of kernels."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ntc.cli import files, options, stores
from ntc.cli.compiled import keep_compiled
from ntc.cli.console import reporting
from ntc.cli.price import duration, size
from ntc.errors import InputError, UsageError

if TYPE_CHECKING:
    from ntc.jobs import Job

app = typer.Typer(name="job", help="Plan, watch, verify, compute and export a store of kernels.", no_args_is_help=True)


@app.command()
def plan(
    store: stores.StorePath,
    workers: stores.Workers = 1,
    device: stores.Device = None,
    as_json: options.Json = False,
) -> None:
    """What computing a store takes: tasks, time, bytes, memory. Of one to be made: `ntc kernel ... --plan`."""
    from ntc.artifact import restored
    from ntc.jobs.create import planned
    from ntc.jobs.plan import Wish

    job = _opened(store)
    manifest, blocks = job.manifest, job.manifest.blocks
    program = restored(job.store.program(), f"the program in {store}")
    wish = Wish(manifest.tile, manifest.block, workers)
    found = planned(program, blocks.n1, None if blocks.symmetric else blocks.n2, wish, device)
    measured = [x for x in job.store.records().values() if "later_seconds" in x]
    if as_json:
        print(json.dumps(stores.plan_facts(found, workers) | {"measured": measured}))
        return
    print("\n".join(stores.plan_lines(found, workers)))
    if measured:
        later = [x["later_seconds"] for x in measured]
        starts = [x["start_seconds"] + max(0.0, x["first_seconds"] - x["later_seconds"]) for x in measured]
        took, began = (duration(float(np.median(times))) for times in (later, starts))
        print(f"  measured of {len(measured)} workers: a task {took}, and {began} before the first to open and compile")
        memory = [x["memory"] for x in measured if x["memory"]]
        if memory:
            print(f"  and memory at the highest {size(max(memory))}")


@app.command()
def status(store: stores.StorePath, as_json: options.Json = False) -> None:
    """How far a store is: blocks that are there, as numbers and as a picture, and who computed them."""
    job = _opened(store)
    blocks, present = job.manifest.blocks, job.store.present(job.manifest)
    missing, records = blocks.missing_count(present), job.store.records()
    rows = min(blocks.leading(present) * blocks.side, blocks.n1)
    facts = {"blocks": blocks.count, "missing": missing, "leading": rows, "workers": records}
    if as_json:
        print(json.dumps(facts | {"manifest": job.manifest.model_dump(mode="json")}))
        return
    print(stores.picture(present, blocks.symmetric))
    done = blocks.count - missing
    print(f"{done} of {blocks.count} blocks of {' and '.join(job.manifest.kernels)}, {done / blocks.count:.1%}")
    print(f"the kernel of the first {rows} of {blocks.n1} examples is whole")
    for kind in sorted({x["device"] for x in records.values()}):
        own = [x for x in records.values() if x["device"] == kind]
        tested = {True: "tested", False: "too large to test", None: "not tested"}[own[0]["self_test"]]
        print(f"{len(own)} workers on {kind}, {tested}")


@app.command()
def verify(
    store: stores.StorePath,
    tiles: Annotated[int, typer.Option("--tiles", min=0, help="Random tiles that are computed again.")] = 3,
    as_json: options.Json = False,
) -> None:
    """Read every checksum, delete what is damaged, and compare random tiles with the program."""
    from ntc.jobs.verify import verify

    job = _opened(store)
    keep_compiled()
    with reporting() as report:
        found = verify(job, tiles, progress=lambda done, total: report("blocks", done, total))
    if as_json:
        print(json.dumps(asdict(found)))
        return
    same = "to the last bit" if not found.difference else f"to {found.difference:.1e} of the largest entry"
    print(
        f"{found.blocks} blocks read, {len(found.damaged)} damaged and deleted; {found.tiles} tiles are right, {same}"
    )
    for label, (i, j) in found.damaged:
        print(f"deleted: block {i},{j} of {label}")


@app.command()
def work(
    store: stores.StorePath,
    share: Annotated[str | None, typer.Option("--share", help="A part of all to begin with, as 3/64.")] = None,
    log: stores.Log = None,
) -> None:
    """Compute blocks until none is missing: what a task of any scheduler runs, as many at a time as wanted."""
    from ntc.jobs.work import prepare, work_rest, work_share

    job = _opened(store)
    prepare()
    keep_compiled()
    part, parts = _share(share)
    results = work_rest(store) if share is None else work_share(store, part, parts)
    count, failed, missing = 0, [], job.missing
    with stores.watching(log) as report:
        for found in results:
            count += found.computed
            failed += [found] if found.failure else []
            facts: dict[str, Any] = {"event": "block", "done": count, "total": missing}
            facts |= {"block": list(found.task), "worker": found.worker, "block_seconds": round(found.seconds, 3)}
            report(facts | ({"failure": found.failure, "message": found.message} if found.failure else {}))
            if found.failure == "unwritable":
                break
    print(f"{count} blocks computed, {job.missing} missing in {store}")
    if failed:
        raise InputError(f"block {failed[0].task[0]},{failed[0].task[1]} failed: {failed[0].message}")


@app.command()
def export(
    store: stores.StorePath,
    output: Annotated[Path, files.written_binary("-o", "--output", help="Where to: .npz, or .npy of one kernel.")],
    kernel: Annotated[str | None, typer.Option("--kernel", help="Which one; a .npy file has one.")] = None,
    leading: Annotated[
        bool, typer.Option("--leading", help="What is whole: of a uniform sample, its indices too.")
    ] = False,
) -> None:
    """Write matrices as NumPy files, with examples in the order in which they were given."""
    job = _opened(store)
    labels = job.manifest.kernels if kernel is None else (kernel,)
    if leading:
        sample = {label: job.kernel(label).leading() for label in labels}
        rows, columns, _ = sample[labels[0]]
        files.write_arrays(output, {"rows": rows, "columns": columns} | {x: found[2] for x, found in sample.items()})
    elif output.suffix == ".npy":
        if len(labels) > 1:
            raise UsageError(f"{output}: a .npy file has one array", hint="--kernel nngp, or a name in .npz")
        job.kernel(labels[0]).write(output)
    else:
        files.write_arrays(output, {label: np.asarray(job.kernel(label)) for label in labels})
    print(f"{output}: {', '.join(labels)}")


def _opened(store: str) -> Job:
    from ntc import jobs

    return jobs.load(store)


def _share(text: str | None) -> tuple[int, int]:
    """Which part, from zero, of how many, of `3/64`. Raises UsageError."""
    if text is None:
        return 0, 1
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--share {text}: expected a part of all, as 1/64 up to 64/64")
    return int(found[1]) - 1, int(found[2])
