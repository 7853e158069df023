"""Compiled files: the same numbers again, for platforms that are not here, and nothing from damaged files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export as jax_export

from ntc import artifact, nn
from ntc.artifact import load, save
from ntc.compiler import build
from ntc.errors import ArtifactError, UnsupportedError
from ntc.frontend.layers import Network
from ntc.ir.types import Target
from tests.assertions import assert_close

NETWORK = (
    nn.input(4, 4, 2)
    >> nn.conv(8, 3, w_std=1.3, b_std=0.1)
    >> nn.relu()
    >> nn.avg_pool(2)
    >> nn.sum(nn.conv(8, 3), nn.dense(8))
    >> nn.erf()
    >> nn.flatten()
    >> nn.dense(2)
)
X1 = np.random.default_rng(0).normal(size=(5, 4, 4, 2))
X2 = np.random.default_rng(1).normal(size=(3, 4, 4, 2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "network.ntc"
    save(build(NETWORK), path)
    return path


@pytest.mark.parametrize(("kernels", "dtype"), [(("nngp",), "float32"), (("nngp", "ntk"), "float64")])
def test_a_loaded_program_gives_the_same_bits(tmp_path: Path, dtype: str, kernels: tuple[str, ...]) -> None:
    """Protects the promise of `load`: what is rebuilt from the file equals what was saved, to the last bit."""
    program = build(NETWORK, kernels=kernels, dtype=dtype)  # type: ignore[arg-type]
    save(program, tmp_path / "a.ntc")
    loaded = load(tmp_path / "a.ntc")
    assert (loaded.network, loaded.graphs, loaded.target) == (program.network, program.graphs, program.target)
    for arguments in ((X1, X2), (X1,)):
        for before, after in zip(program(*arguments), loaded(*arguments), strict=True):
            assert (before is None) == (after is None)
            if before is not None:
                assert np.array_equal(before, after)


def test_artifacts_of_graphs_alone(saved: Path, tmp_path: Path) -> None:
    """Protects workers of jobs, which start from graphs: the same bits as of the whole file, in half of it or less;
    and there is no program to trust."""
    program, path = load(saved), tmp_path / "graphs.ntc"
    path.write_bytes(artifact.content(program, exported=False))
    assert np.array_equal(load(path)(X1).ntk, program(X1).ntk)
    assert path.stat().st_size < saved.stat().st_size / 2
    with pytest.raises(UnsupportedError, match="graphs alone"):
        load(path, trust=True)


def test_the_stored_program_runs_if_trusted(saved: Path) -> None:
    """Protects --trust: the StableHLO in the file computes the same kernels, for any number of examples."""
    loaded = load(saved, trust=True)
    whole = build(NETWORK)(X1, X2)
    for n in (1, 3, 5):
        for expected, found in zip(whole, loaded(X1[:n], X2), strict=True):
            assert_close(found, np.asarray(expected)[:n], "float32")
    assert_close(loaded.diagonal(X1).ntk, np.diag(loaded(X1).ntk), "float32")


@pytest.mark.parametrize("target", get_args(Target))
def test_programs_for_absent_platforms(tmp_path: Path, target: Target) -> None:
    """Protects compilation for tpu and cuda on a machine that has neither, with symbolic batch sizes."""
    save(build(NETWORK, target), tmp_path / "a.ntc")
    with zipfile.ZipFile(tmp_path / "a.ntc") as archive:
        exported = jax_export.deserialize(bytearray(archive.read("cross.stablehlo")))
    assert exported.platforms == (target,)
    assert [str(x.shape[0]) for x in exported.in_avals] == ["n", "m"]
    assert load(tmp_path / "a.ntc").target == target


@settings(max_examples=300)
@given(data=st.data())
def test_damage_is_noticed(saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Protects against wrong numbers from damaged files: any change to the bytes is refused or has no effect."""
    content = bytearray(saved.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "truncate", "append", "cut"]))
    at = data.draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        content[at] ^= data.draw(st.integers(1, 255))
    elif kind == "truncate":
        del content[at:]
    elif kind == "append":
        content += data.draw(st.binary(min_size=1, max_size=100))
    else:
        del content[at : at + data.draw(st.integers(1, 1000))]
    path = tmp_path_factory.mktemp("damaged") / "a.ntc"
    path.write_bytes(content)
    try:
        loaded = load(path)
    except ArtifactError:
        return
    original = load(saved)
    assert kind == "flip", "a file of another length was accepted"
    assert (loaded.network, loaded.graphs, loaded.target) == (original.network, original.graphs, original.target)


def rewritten(saved: Path, path: Path, member: str, old: str, new: str, compression: int = zipfile.ZIP_STORED) -> Path:
    """The file with a replacement in one member and the manifest made to agree with it."""
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert old.encode() in members[member]
    members[member] = members[member].replace(old.encode(), new.encode())
    manifest = json.loads(members["manifest.json"])
    if member != "manifest.json":
        manifest["members"][member] = artifact.describe(members[member])
        members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


FORGED = {
    "another format": ("manifest.json", '"format": 1', '"format": 2', "format"),
    "another target": ("manifest.json", '"target": "cpu"', '"target": "abacus"', "target"),
    "an op that does not exist": ("cross.json", '"dual"', '"dwal"', "unknown op `dwal`"),
    "a type that is wrong": ("cross.json", "f32 cov[N,M]", "f32 cov[N,N]", "cross.json is not a valid graph"),
    "a parameter out of its domain": ("network.json", '"kernel": 3', '"kernel": 0', "greater than or equal to 1"),
    "a graph of another network": ("self.json", '"f32[N,4,4,2]"', '"f32[N,4,4,3]"', "self.json does not belong"),
    "not JSON": ("diagonal.json", "{", "[", "diagonal.json is not a valid graph"),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_files_are_refused(saved: Path, tmp_path: Path, case: str) -> None:
    """Protects loading from strangers: checksums can be forged, so the graphs themselves are verified."""
    member, old, new, message = FORGED[case]
    with pytest.raises(ArtifactError) as error:
        load(rewritten(saved, tmp_path / "forged.ntc", member, old, new))
    assert message in str(error.value)


def test_compressed_members_are_refused(saved: Path, tmp_path: Path) -> None:
    """Protects memory: a small file cannot unpack into a large one."""
    path = rewritten(saved, tmp_path / "bomb.ntc", "self.json", "{", " " * 100_000 + "{", zipfile.ZIP_DEFLATED)
    with pytest.raises(ArtifactError, match="compressed or too large"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"model x = input(3)", bytes(10_000)])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """Protects the message for a file that never was an artifact."""
    path = tmp_path / "foreign.ntc"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is not an artifact, or is damaged|does not hold"):
        load(path)


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    """Protects time and memory: a file over the limit is not read at all."""
    path = tmp_path / "large.ntc"
    with open(path, "wb") as file:
        file.truncate(artifact.MAX_BYTES + 1)
    with pytest.raises(ArtifactError, match="at most"):
        load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects files: a file is replaced whole or not at all, and nothing else is left behind."""
    path = tmp_path / "a.ntc"
    path.write_text("old")
    network: Network = nn.input(2) >> nn.dense(1)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="no space"):
        save(build(network), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
