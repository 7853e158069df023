"""Compiled programs as files.

A zip archive, uncompressed, of a manifest (versions, target, checksums), the network and the three optimised
kernel graphs as JSON, and, unless it is of graphs alone, the three programs as serialised StableHLO. The graphs are
data: reading them from anyone is safe. A serialised program is as powerful as any program; it is only run when the
caller trusts it.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ntc.errors import ArtifactError, NtcError, UnsupportedError
from ntc.files import replacing
from ntc.ir.graph import Graph
from ntc.ir.json import from_json, to_json
from ntc.ir.packing import Packing
from ntc.ir.types import ArrayType, Between, Target
from ntc.ir.verify import verify

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from ntc.backends.jax.program import Program

FORMAT = 1
MAX_BYTES = 256 * 2**20
"""Largest file that is read."""

MAX_GRAPH_BYTES = 64 * 2**20
_MAX_MANIFEST_BYTES = 64 * 2**10
_MAX_DIRECTORY_BYTES = 4 * 2**10
_END_OF_DIRECTORY = struct.Struct("<4s4H2LH")
_BETWEENS: tuple[Between, ...] = get_args(Between)
_GRAPHS = {"network.json", *(f"{between}.json" for between in _BETWEENS)}
_PROGRAMS = {f"{between}.stablehlo" for between in _BETWEENS}
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, RuntimeError)


class _Member(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    bytes: int
    sha256: str


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    format: Literal[1]
    ntc: str
    jax: str
    target: Target
    devices: int = Field(default=1, ge=1)
    members: dict[str, _Member]


def save(program: Program, path: str | Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Writes a program to a file that `load` reads. The file appears whole or not at all.

    `progress` is called with the number of programs exported and the number of all, before each.
    """
    with replacing(path) as partial:
        partial.write_bytes(content(program, True, progress))


def content(program: Program, exported: bool, progress: Callable[[int, int], None] | None = None) -> bytes:
    """The bytes of an artifact. Without `exported` it is of graphs alone, which takes a moment where exporting takes
    many seconds, and is all that `load` reads without `trust`. `progress` is that of `save`."""
    import jax

    import ntc
    from ntc.backends.jax.run.export import export

    members = {"network.json": to_json(program.network, indent=1).encode()}
    for done, between in enumerate(_BETWEENS):
        if progress:
            progress(done, len(_BETWEENS))
        members[f"{between}.json"] = to_json(program.graphs[between], indent=1).encode()
        if exported:
            members[f"{between}.stablehlo"] = bytes(export(program, between).serialize())
    manifest = {
        "format": FORMAT,
        "ntc": ntc.__version__,
        "jax": jax.__version__,
        "target": program.target,
        "devices": program.devices,
        "members": {name: describe(member) for name, member in members.items()},
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"manifest.json": json.dumps(manifest, indent=1).encode(), **members}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def describe(member: bytes) -> dict[str, int | str]:
    """What the manifest says of a member."""
    return {"bytes": len(member), "sha256": hashlib.sha256(member).hexdigest()}


def is_artifact(data: bytes) -> bool:
    """Whether the bytes of a file begin like an archive's (a model file is text and never does)."""
    return data[:2] == b"PK"


def load(path: str | Path, trust: bool = False, devices: int | Mesh | None = None) -> Program:
    """Reads a program that `save` or `ntc compile` wrote.

    The program is rebuilt from the optimised kernel graphs in the file, which gives the same numbers to the
    last bit on the same platform and JAX version. With `trust`, the stored StableHLO runs instead, on one device.
    `devices` are those of `ntc.build` (default: as many as the program was compiled for).

    At most 256 MiB are read, of which at most 64 MiB per graph.

    Raises:
      ArtifactError: the file is truncated, altered, foreign, too large, or of another format version.
      UnsupportedError: with `trust`, it stores no program.
      OSError: the file cannot be opened.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ArtifactError(f"{path} has {size} bytes; an artifact has at most {MAX_BYTES}")
    return restored(path.read_bytes(), str(path), trust, devices)


def restored(data: bytes, path: str, trust: bool = False, devices: int | Mesh | None = None) -> Program:
    """The program of the bytes of an artifact, which is called `path` in errors. Raises as `load` does."""
    from ntc.backends.jax.program import Program
    from ntc.backends.jax.run.export import restore

    manifest, members = _read(data, path)
    network = _graph(members, "network", "tensor")
    graphs = {between: _graph(members, between, "kernel") for between in _BETWEENS}
    _check_belongs(network, graphs)
    devices = manifest.devices if devices is None else devices
    if not trust:
        return Program(network, graphs, manifest.target, devices=devices)
    if devices != 1:
        raise UnsupportedError(
            "the stored program is for one device at a time",
            hint="load it without trust, which rebuilds it for several, or with devices=1",
        )
    if "cross.stablehlo" not in members:
        raise UnsupportedError(f"{path} is of graphs alone: there is no program to trust", hint="load it without trust")
    functions = {b: restore(members[f"{b}.stablehlo"], graphs[b], manifest.target) for b in _BETWEENS}
    return Program(network, graphs, manifest.target, functions)


def _read(data: bytes, path: str) -> tuple[_Manifest, dict[str, bytes]]:
    try:
        file = io.BytesIO(data)
        _check_directory(file.getbuffer())
        with zipfile.ZipFile(file) as archive:
            manifest = _Manifest.model_validate_json(_member(archive, "manifest.json", _MAX_MANIFEST_BYTES))
            names = set(manifest.members)
            if names not in (_GRAPHS, _GRAPHS | _PROGRAMS) or set(archive.namelist()) != {*names, "manifest.json"}:
                raise ArtifactError(f"{path} does not hold the members of an artifact")
            members = {name: _member(archive, name, MAX_BYTES) for name in manifest.members}
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise ArtifactError(f"{path}: manifest: {where}: {problem['msg']}", hint="compile the model again") from None
    except _DAMAGE as error:
        raise ArtifactError(f"{path} is not an artifact, or is damaged ({error})") from None
    for name, member in manifest.members.items():
        if describe(members[name]) != member.model_dump():
            raise ArtifactError(f"{path}: {name} is not what the manifest says: the file is damaged or altered")
    return manifest, members


def _check_directory(content: memoryview) -> None:
    """Refuses archives whose directory is larger than ours ever is, before anything reads it."""
    end = _END_OF_DIRECTORY.unpack(content[-_END_OF_DIRECTORY.size :])
    signature, _, _, _, entries, length, _, comment = end
    if signature != b"PK\x05\x06" or comment or entries > 16 or length > _MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile("no directory at its end")


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.file_size > limit:
        raise zipfile.BadZipFile(f"member {name} is compressed or too large")
    return archive.read(info)


def _graph(members: dict[str, bytes], name: str, kind: str) -> Graph:
    data = members[f"{name}.json"]
    try:
        if len(data) > MAX_GRAPH_BYTES:
            raise ArtifactError(f"it has more than {MAX_GRAPH_BYTES} bytes")
        graph = verify(from_json(data.decode()))
    except (NtcError, UnicodeDecodeError) as error:
        message = error.message if isinstance(error, NtcError) else str(error)
        raise ArtifactError(f"{name}.json is not a valid graph: {message}") from None
    if graph.kind != kind:
        raise ArtifactError(f"{name}.json is a {graph.kind} graph, expected a {kind} graph")
    return graph


def _check_belongs(network: Graph, graphs: dict[Between, Graph]) -> None:
    """The kernel graphs take the network's inputs, of one or two examples, and return the same kernels."""
    packing = Packing.of(network)
    first = graphs["cross"].inputs[0].type
    assert isinstance(first, ArrayType)
    labels = [output.label for output in graphs["cross"].outputs]
    for between, graph in graphs.items():
        if not graph.hypers.items() <= network.hypers.items():
            raise ArtifactError(f"{between}.json has other hyperparameters than network.json")
        batches = ("N", "M") if between == "cross" else ("N",)
        inputs = tuple(packing.array(first.dtype, batch) for batch in batches)
        returned = ("N", "M") if between == "cross" else ("N", "N") if between == "self" else ("N",)
        fits = tuple(x.type for x in graph.inputs) == inputs and labels == [x.label for x in graph.outputs]
        if not fits or any(graph.covariance_of(x.value).batch != returned for x in graph.outputs):
            raise ArtifactError(f"{between}.json does not belong to network.json")
