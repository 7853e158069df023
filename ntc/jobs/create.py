"""Making a store for a job, or finding that one is there of the same job."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ntc.artifact import content
from ntc.errors import InputError, ParameterError
from ntc.ir.json import to_json
from ntc.jobs.blocks import shuffled
from ntc.jobs.examples import Examples
from ntc.jobs.manifest import FORMAT, Manifest, Part, Versions, checksum
from ntc.jobs.plan import Plan, Wish, make_plan
from ntc.jobs.run import Job
from ntc.jobs.store import Store
from ntc.price import Rates, known_rates

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

Url = str | os.PathLike[str]


def create(
    program: Program,
    x1: Any,
    x2: Any = None,
    *,
    store: Url,
    mask1: Any = None,
    mask2: Any = None,
    pattern1: Any = None,
    pattern2: Any = None,
    refine: bool = True,
    seed: int | Literal["auto"] | None = "auto",
    tile: int | None = None,
    block: int | None = None,
    workers: int = 1,
    device: str | None = None,
    force: bool = False,
    accept_versions: bool = False,
    extend: bool = False,
) -> Job:
    """The job of computing `program(x1, x2)`, or `program(x1)`, into a store. Nothing is computed yet.

    Where the store has this job already, it is that one, with what has been computed. Bits are those of `program` with
    the same tile, of the examples in the order of the store: on the same kind of device, with the same jaxlib, and with
    one thread or several as there. Elsewhere they are equal up to rounding.

    Args:
      program: of which hyperparameters have the values that they are to have (`Program.with_hyper`).
      x1, x2, mask1, mask2, pattern1, pattern2, refine: see `Program.__call__`; arrays (n, ...) may be memory maps.
      store: a folder, or any place that fsspec knows: s3://bucket/kernel.zarr.
      seed: of the random order of examples in the store (default: 0); None is the order in which they are given.
      tile: examples on either side of a computation (default: what suits this machine; of a store that is there, its
        own, as for `block` and `seed`).
      block: examples on either side of what is stored as one, a multiple of the tile (default: two minutes' worth, less
        where there would be few).
      workers: how many there will be, for the choice of blocks.
      device: whose speed the plan is for, by a name that `ntc explain --target` knows (default: the program's target,
        as `ntc calibrate` measured it here).
      force: takes blocks of more than ten minutes, or of more than 512 MiB.
      accept_versions: goes on with other versions of ntc, jax and jaxlib, and records them.
      extend: where the store is of the first examples that are given, adds the others, whose blocks are then missing.
        No worker may run meanwhile.

    Raises:
      InputError: arrays do not fit the program; the place holds something else, or another job, with what differs.
      LimitError: a block would take too long, or be too large.
      ParameterError: tile and block do not go together.
    """
    first = Examples("x1", program, x1, mask1, pattern1)
    second = None if x2 is None else Examples("x2", program, x2, mask2, pattern2)
    asked = _Asked(program, first, second, refine, seed, Wish(tile, block, workers), device)
    place = Store(store)
    if place.exists:
        return _again(place, asked, accept_versions, extend)
    if not force:
        asked.plan(None).check()
    return _new(place, asked)


def load(store: Url) -> Job:
    """The job of a store. Raises InputError if there is none."""
    place = Store(store)
    return Job(place, place.manifest())


def check_examples(job: Job, program: Program, x: Any) -> None:
    """Raises InputError unless a job is of k(x, x) of the network of a program and of these examples (n, ...)."""
    manifest, network = job.manifest, checksum(to_json(program.network).encode())
    own = (manifest.network, manifest.hyper, manifest.dtype)
    if not manifest.symmetric or own != (network, program.hyper, program.dtype):
        raise InputError(f"{job.store.url} is not the store of k(x, x) of this program", hint="ntc job status shows it")
    examples = Examples("x_train", program, x)
    sums = examples.checksums([part.examples for part in manifest.x1])
    if len(examples) != manifest.n1 or sums != [part.sha256 for part in manifest.x1]:
        raise InputError(f"{job.store.url} is of {manifest.n1} other examples than those given, {len(examples)}")


def planned(program: Program, n1: int, n2: int | None, wish: Wish, device: str | None = None) -> Plan:
    """The plan of k(x1, x2), or k(x1, x1) without n2. Raises ParameterError."""
    try:
        rates: Rates | None = known_rates(device or program.target)
    except ParameterError:
        if device is not None:
            raise
        rates = None
    if rates is not None and rates.target != program.target:
        raise ParameterError(f"the program is for {program.target}, and {device} is a device of {rates.target}")
    return make_plan(program.graphs["cross"], program.target, rates, n1, n2, wish)


@dataclass(frozen=True)
class _Asked:
    """A job as it is asked for."""

    program: Program
    x1: Examples
    x2: Examples | None
    refine: bool
    seed: int | Literal["auto"] | None
    wish: Wish
    device: str | None

    @property
    def examples(self) -> dict[str, Examples]:
        """By their name in the store."""
        return {"x1": self.x1} | ({} if self.x2 is None else {"x2": self.x2})

    def plan(self, kept: Manifest | None) -> Plan:
        """Of what is asked for; else of the store, if there is one."""
        wish, second = self.wish, None if self.x2 is None else len(self.x2)
        if kept is not None:
            wish = replace(wish, tile=wish.tile or kept.tile, block=wish.block or kept.block)
        return planned(self.program, len(self.x1), second, wish, self.device)

    def manifest(self, kept: Manifest | None) -> Manifest:
        """What it is of; examples in the same parts as in the store, if there is one."""
        program, graph, plan = self.program, self.program.graphs["cross"], self.plan(kept)
        own = 0 if kept is None else kept.seed
        return Manifest(
            format=FORMAT,
            symmetric=self.x2 is None,
            kernels=tuple(output.label for output in graph.outputs),
            dtype=program.dtype,
            target=program.target,
            kernel_path=program.kernel_path,
            hyper=program.hyper,
            network=checksum(to_json(program.network).encode()),
            graph=checksum(to_json(graph).encode()),
            x1=_parts(self.x1, () if kept is None else kept.x1),
            x2=() if self.x2 is None else _parts(self.x2, () if kept is None else kept.x2),
            seed=own if self.seed == "auto" else self.seed,
            refine=self.refine,
            tile=plan.tile,
            block=plan.blocks.side,
            versions=(Versions.here(),),
            seconds=plan.block_seconds,
        )


def _again(place: Store, asked: _Asked, accept_versions: bool, extend: bool) -> Job:
    """The job that a store has. Raises InputError if that is another."""
    kept = place.manifest()
    wanted = asked.manifest(kept)
    if extend and kept.is_part_of(wanted):
        kept.with_examples(wanted).check(wanted, place.url, accept_versions)
        kept = _extended(place, kept, wanted, asked.examples)
    kept.check(wanted, place.url, accept_versions)
    return Job(place, _with_versions(place, kept))


def _parts(examples: Examples, kept: tuple[Part, ...]) -> tuple[Part, ...]:
    """All examples, in the parts of the store as far as there are so many."""
    counts, left = [], len(examples)
    for part in kept:
        counts.append(min(part.examples, left))
        left -= counts[-1]
    counts = [count for count in (*counts, left) if count]
    sums = examples.checksums(counts)
    return tuple(Part(examples=count, sha256=found) for count, found in zip(counts, sums, strict=True))


def _with_versions(store: Store, kept: Manifest) -> Manifest:
    """The manifest with the versions that are here among those that the job has been run with."""
    here = Versions.here()
    if here in kept.versions:
        return kept
    changed = kept.model_copy(update={"versions": (*kept.versions, here)})
    store.write_manifest(changed)
    return changed


def _new(store: Store, asked: _Asked) -> Job:
    """Writes everything but blocks; the manifest last, so that a store without one has not been made to its end."""
    manifest, graph = asked.manifest(None), asked.program.graphs["cross"]
    spatial = {output.label: _doubled(graph.covariance_of(output.value).spatial) for output in graph.outputs}
    store.create(manifest, content(asked.program, exported=False), spatial)
    for name, given in asked.examples.items():
        order = shuffled(manifest.seed, (part.examples for part in getattr(manifest, name)))
        array: Any = None
        for span, packed in given.in_order(order, 0):
            if array is None:
                array = store.create_examples(name, (len(order), *packed.shape[1:]), packed.dtype)
            array[span] = packed
    store.write_manifest(manifest)
    return Job(store, manifest)


def _extended(store: Store, kept: Manifest, asked: Manifest, examples: dict[str, Examples]) -> Manifest:
    """Adds examples to a store; blocks that were not whole are to be computed anew. The manifest last, so that an
    interruption leaves the store of before."""
    changed, counts = kept.with_examples(asked), {"x1": kept.n1, "x2": kept.n2}
    for name, given in examples.items():
        order = shuffled(changed.seed, (part.examples for part in getattr(changed, name)))
        array = store.resized(name, len(order))
        for span, packed in given.in_order(order, counts[name]):
            array[span] = packed
    old, new = kept.blocks, changed.blocks
    for label in changed.kernels:
        store.resized(label, new.n1, new.n2)
    ragged = [old.rows - 1 if old.n1 % old.side and new.n1 > old.n1 else -1]
    ragged.append(old.columns - 1 if old.n2 % old.side and new.n2 > old.n2 else -1)
    for i, j in old.tasks():
        if i == ragged[0] or j == ragged[1]:
            for label in changed.kernels:
                store.delete(label, (i, j))
    store.write_manifest(changed)
    return changed


def _doubled(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Every size of an image twice: of the first and the second image."""
    return tuple(size for size in sizes for _ in range(2))
