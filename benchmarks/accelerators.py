"""Programs for an NVIDIA H100 and a TPU v5e, compiled here, where there is neither: bytes, launches, memory, code.

`make accelerators` makes the environments and writes ACCELERATORS.md beside this file. Every program is compiled in a
process of its own: python -m benchmarks.accelerators CASE TARGET EXAMPLES [PEER.bin]. What Neural Tangents makes of the
same network is exported from an environment of its own, whose interpreter NTC_PEER names, and compiled in the same way.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

import ntc
from benchmarks.cases import CASES, ROOT
from benchmarks.hlo_cost import cost_of
from benchmarks.kernel_cost import bundles_of, longest_loop, microseconds
from benchmarks.measure import markdown
from ntc.backends.jax.run.compile_only import NAMES, Compiled, compile_function, compile_only
from ntc.ir.types import Target
from ntc.plan import plan

_MOST = 300
"""Seconds to compile one program."""


@dataclass(frozen=True)
class Bound:
    """What is asked of one network on the H100: bytes of the peer over ours."""

    examples: int
    required: float
    aim: float


BOUNDS = {
    "cnn_global_pool": Bound(4, 20, 100),
    "wrn": Bound(4, 60, 300),
    "cnn_pools": Bound(4, 60, 200),
    "myrtle5": Bound(4, 8, 30),
    "myrtle10": Bound(4, 10, 40),
    "cnn_flatten": Bound(32, 2, 6),
    "fully_connected": Bound(1024, 1 / 1.2, 1),
}

MOST_LAUNCHES = 4
"""Of the fully connected network, over those of the peer."""

TPU_EXAMPLES = 8
MOST_TEMPORARY, MOST_CODE, MOST_SECONDS = 0.5e9, 15e6, 30.0
"""Of a program for the TPU of 8 x 8 examples."""


@dataclass(frozen=True)
class Measured:
    """One program.

    Attributes:
      megabytes, launches: moved and started, in one run.
      temporary, code: bytes.
      seconds: to compile it.
      kernels: stages that are one kernel each, and how many there are with filters.
      filters: stages with filters.
      registers, spills, shared: most registers of a thread, bytes of spills, bytes of shared memory of such a kernel.
      instructions: of the longest loop over strips.
      microseconds: of all kernels, for one pair of examples, as `kernel_cost` estimates.
      unknown_loops: loops that count once, as the compiler does not say how often they run.
    """

    megabytes: float
    launches: float
    temporary: int
    code: int
    seconds: float
    kernels: int = 0
    filters: int = 0
    registers: int = 0
    spills: int = 0
    shared: int = 0
    instructions: int = 0
    microseconds: float = 0.0
    unknown_loops: int = 0


def compile_case(name: str, target: Target, examples: int, peer: Path | None = None) -> Measured:
    """One network for one target, by ourselves or from what the peer exported, in processes of their own: one that is
    timed, and one in which the compilers of kernels write what they made."""
    command = [sys.executable, "-m", "benchmarks.accelerators", name, target, str(examples)]
    command += [str(peer)] if peer else []
    found: dict[str, Any] = json.loads(_run(command, {}).splitlines()[-1])
    if not found["kernels"]:
        return Measured(**found)
    with tempfile.TemporaryDirectory() as folder:
        report = _run(command, {**_DUMPS, "LIBTPU_INIT_ARGS": f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"})
        found["instructions"] = longest_loop(bundles_of(Path(folder)) or report)
    found["registers"] = max(map(int, re.findall(r"Used (\d+) registers", report)), default=0)
    found["spills"] = sum(map(int, re.findall(r"(\d+) bytes spill", report)))
    found["microseconds"] *= found["instructions"]
    return Measured(**found)


_DUMPS = {"MOSAIC_GPU_DUMP_PTXAS": "1", "MOSAIC_GPU_DUMP_PTX": "1"}


def _run(command: list[str], more: dict[str, str]) -> str:
    """What a process prints to both streams, its result last. Raises RuntimeError where it fails."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"} | more
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT.parent, env=environment, timeout=_MOST
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stderr + done.stdout


def _compile(name: str, target: Target, examples: int, peer: str | None) -> Measured:
    case = CASES[name]
    if peer:
        program = jax.export.deserialize(bytearray(Path(peer).read_bytes()))
        arguments = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in program.in_avals]
        return _measured(compile_function(program.call, target, *arguments))
    own = ntc.build(ntc.load_graph(case.file, case.model, case.parameters), target=target)
    stages = [x for x in plan(own.graphs["cross"], target, examples, examples).stages if x.stage.spatial]
    graph, fused = own.graphs["cross"], [x.fused for x in stages if x.fused]
    each = [microseconds(graph, x, target, examples, examples, 1) for x in stages if x.fused]
    return _measured(
        compile_only(own, examples, examples),
        kernels=len(fused),
        filters=len([x for x in stages if x.reason not in ("its lanes are not apart", "it has no filter")]),
        shared=max((x.bytes for x in fused), default=0),
        microseconds=sum(each) / examples**2,
    )


def _measured(compiled: Compiled, **more: Any) -> Measured:
    cost = cost_of(compiled.text)
    sizes = compiled.temporary, compiled.code, compiled.seconds
    return Measured(cost.bytes / 1e6, cost.launches, *sizes, unknown_loops=cost.unknown_loops, **more)


def export_peer(name: str, target: Target, examples: int, folder: Path) -> Path | None:
    """What the peer makes of a network; None without its environment."""
    python = os.environ.get("NTC_PEER")
    if not python:
        return None
    output, shape = folder / f"{name}.{target}.bin", ",".join(map(str, CASES[name].shape))
    command = [str(Path(python).absolute()), "peer_export.py", name, target, str(examples), shape, str(output)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return output


def main(quick: bool = False) -> str:
    """Both tables, which are kept in ACCELERATORS.md."""
    names = ["cnn_flatten"] if quick else list(BOUNDS)
    gpu, tpu = [_gpu_row(name) for name in names], [_tpu_row(name) for name in names]
    page = _PAGE.format(
        versions=f"ntc {ntc.__version__}, jax {jax.__version__}",
        gpu=NAMES["cuda"],
        tpu=NAMES["tpu"],
        gpu_table=markdown(_GPU, gpu),
        tpu_table=markdown(_TPU, tpu),
        examples=TPU_EXAMPLES,
    )
    if not quick:
        (ROOT / "ACCELERATORS.md").write_text(page)
    return page


def _gpu_row(name: str) -> tuple[object, ...]:
    bound = BOUNDS[name]
    own = compile_case(name, "cuda", bound.examples)
    with tempfile.TemporaryDirectory() as folder:
        exported = export_peer(name, "cuda", bound.examples, Path(folder))
        peer = compile_case(name, "cuda", bound.examples, exported) if exported else None
    pairs = bound.examples**2
    ratio: object = peer.megabytes / own.megabytes if peer else ""
    beside = (peer.megabytes / pairs, own.megabytes / pairs) if peer else ("", own.megabytes / pairs)
    return (
        *(CASES[name].title, f"{bound.examples} x {bound.examples}", *beside, ratio),
        f"{bound.required:.3g} / {bound.aim:g}",
        *(peer.launches if peer else "", own.launches, own.temporary / 1e6, own.seconds),
        *(f"{own.kernels} of {own.filters}", own.registers, own.spills, own.shared / 2**10),
        *(own.instructions, own.microseconds),
    )


def _tpu_row(name: str) -> tuple[object, ...]:
    examples = TPU_EXAMPLES if CASES[name].shape[1:] else BOUNDS[name].examples
    own = compile_case(name, "tpu", examples)
    return (
        *(CASES[name].title, f"{examples} x {examples}", own.temporary / 1e6, own.code / 1e6, own.seconds),
        *(f"{own.kernels} of {own.filters}", own.shared / 2**20, own.instructions, own.microseconds),
    )


_GPU = (
    *("network", "examples", "peer MB per pair", "ntc MB per pair", "ratio", "required / aim"),
    *("peer launches", "ntc launches", "ntc temporary MB", "ntc compile s", "stages as kernels"),
    *("registers", "bytes of spills", "shared KiB", "instructions per strip", "us per pair, estimated"),
)
_TPU = (
    *("network", "examples", "temporary MB", "code MB", "compile s", "stages as kernels", "planes MiB"),
    *("bundles per strip", "us per pair, estimated"),
)

_PAGE = """# Programs for accelerators

Compiled for an {gpu} and a {tpu} by XLA's own compilers for them on a machine that has neither, with {versions}.
Nothing here has run: bytes and launches are counted in the compiled programs (`benchmarks/hlo_cost.py`), times are not
measured. `make accelerators` writes this page; `python -m benchmarks device` measures on a machine that has a device.

## {gpu}

Both kernels, float32. Beside it Neural Tangents 0.6.5, exported from its environment and compiled in the same way.
Stages as kernels: how many of the stages with filters are one kernel each. Registers of a thread and spills are as the
assembler reports; shared memory is that of one block of 128 threads, of 227 KiB in a multiprocessor. Instructions are
PTX, of the longest loop over strips, which are 128 entries. The time estimated is that of the kernels alone
(`benchmarks/kernel_cost.py`): from above, as if all strips took as many, from below, as if none waited for memory.

{gpu_table}

## {tpu}

Programs of {examples} x {examples} examples where there are images. Planes are what one block of a kernel holds of its
values, of 128 MiB of vector memory. A strip is one position of the first axis and all of the other, of 8 x 128 entries.

{tpu_table}
"""


if __name__ == "__main__":
    _name, _target, _count, *_peer = sys.argv[1:]
    print(json.dumps(asdict(_compile(_name, _target, int(_count), *(_peer or [None])))))  # type: ignore[arg-type]
