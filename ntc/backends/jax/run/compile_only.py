"""Compiling for an accelerator that is not here, by its own compiler: whether it compiles, and what comes out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.pallas.kernel import run_fused
from ntc.backends.jax.precision import precision
from ntc.backends.jax.program import Program
from ntc.errors import UnsupportedError
from ntc.ir.types import ArrayType, Target

NAMES: Mapping[Target, str] = {"cuda": "NVIDIA H100", "tpu": "TPU v5e"}
"""The device of each target that is compiled for."""

_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  runtime_version: "12.8.0"
  driver_version: "13.0.0"
  compile_time_toolkit_version: "12.8.0"
  name: "NVIDIA H100 80GB HBM3"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
"""What XLA asks of a GPU, for an H100 (SXM5): NVIDIA's data sheet and CUDA's limits of compute capability 9.0."""

_SINGLE_HOST = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}
"""Without these, libtpu asks a server of the cloud where it is."""


@dataclass(frozen=True)
class Compiled:
    """What a compiler made of one computation.

    Attributes:
      device: that it is for.
      seconds: to trace and compile it.
      temporary: bytes of memory that it takes beside its arguments and results.
      code: bytes of the program; zero where the compiler does not say.
      text: the optimised module.
    """

    device: str
    seconds: float
    temporary: int
    code: int
    text: str


def compile_only(program: Program, rows: int, columns: int) -> Compiled:
    """Compiles k(x1, x2) of so many examples for the device of the program's target in `NAMES`.

    Raises UnsupportedError where its compiler is not installed, for a program for the CPU, or where it refuses.
    """
    kernel = None if program.kernel_path == "xla" else run_fused
    function = emit(program.graphs["cross"], program.target, kernel=kernel)
    with precision(program.dtype):
        return compile_function(function, program.target, *_arguments(program, rows, columns))


def compile_function(function: Callable[..., Any], target: Target, *arguments: Any) -> Compiled:
    """Compiles a function of arrays. Raises as `compile_only`."""
    place = SingleDeviceSharding(_device(target))
    start = time.perf_counter()
    try:
        compiled = jax.jit(function, in_shardings=place, out_shardings=place).lower(*arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        raise UnsupportedError(f"the compiler for {NAMES[target]} refuses the program: {error}") from error
    seconds, memory = time.perf_counter() - start, compiled.memory_analysis()
    temporary = memory.temp_size_in_bytes if memory else 0
    code = memory.generated_code_size_in_bytes if memory else 0
    return Compiled(NAMES[target], seconds, temporary, code, compiled.as_text() or "")


def _arguments(program: Program, rows: int, columns: int) -> list[Any]:
    types = [x.type for x in program.graphs["cross"].inputs if isinstance(x.type, ArrayType)]
    dtype = jnp.float32 if program.dtype == "f32" else jnp.float64
    shapes = [(count, *type_.spatial, type_.channels) for count, type_ in zip((rows, columns), types, strict=True)]
    return [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]  # type: ignore[no-untyped-call]


def _device(target: Target) -> jax.Device:
    """A device that can only be compiled for."""
    if target == "cpu":
        raise UnsupportedError("a program for the CPU is compiled where it runs", hint="--target cuda, or tpu")
    try:
        topology = {"cuda": _gpu, "tpu": _tpu}[target]()
    except Exception as error:  # whatever a plug-in that is missing, or of another version, raises
        raise UnsupportedError(
            f"the compiler for {NAMES[target]} cannot be loaded: {error}",
            hint=f'pip install "neural-tangent-compiler[{target}-compiler]", of the version of jaxlib',
        ) from error
    device: jax.Device = topology.devices[0]
    return device


def _gpu() -> Any:
    import_module("jax_plugins.xla_cuda12")
    assembler = util.find_spec("nvidia.cuda_nvcc") if util.find_spec("nvidia") else None
    for folder in (assembler.submodule_search_locations or ()) if assembler else ():
        os.environ["PATH"] = f"{Path(folder) / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    jax.devices("cpu")  # loads the plug-ins that there are
    return topologies.get_topology_desc("", "cuda", target_config=_H100, topology="1x1x1")


def _tpu() -> Any:
    for name, value in _SINGLE_HOST.items():
        os.environ.setdefault(name, value)
    return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
