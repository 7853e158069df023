"""Stores from the command line: `ntc kernel --store`, and `ntc job`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import run
from tests.stores import X

MODEL = "model net(width = 8) = input(6) |> dense(width, 1.4) |> relu |> dense(1)\n"
KERNEL = "kernel net.nt --x1 a.npy --store k.zarr"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, inputs, and their store of ten blocks, which is complete."""
    folder = tmp_path_factory.mktemp("stores")
    (folder / "net.nt").write_text(MODEL)
    np.save(folder / "a.npy", X)
    shown = run(folder, f"{KERNEL} --tile 4 --block 12 --log events.jsonl -o k.npz").stdout
    assert shown.startswith("k.zarr: nngp (43, 43), ntk (43, 43); 10 of 10 blocks computed in")
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_the_same_command_goes_on(folder: Path) -> None:
    """Protects `ntc kernel --store`: it computes what is missing, and what it writes equals a plain `ntc kernel`."""
    shutil.rmtree(folder / "k.zarr" / "ntk" / "c" / "1")
    found = json.loads(run(folder, f"{KERNEL} --json -o again.npz").stdout)
    assert (found["blocks"], found["computed"], found["shapes"]) == (10, 3, {"nngp": [43, 43], "ntk": [43, 43]})
    run(folder, "kernel net.nt --x1 a.npy -o plain.npz")
    with (
        np.load(folder / "again.npz") as own,
        np.load(folder / "k.npz") as first,
        np.load(folder / "plain.npz") as other,
    ):
        for label in ("nngp", "ntk"):
            assert np.array_equal(own[label], first[label])
            assert np.allclose(own[label], other[label], rtol=1e-5, atol=1e-6)


def test_stores_are_optional() -> None:
    """Protects who has no store: commands and predictions do not load zarr, and without it the error says what to
    install."""
    code = (
        "import sys, ntc.cli.main, ntc.predict, ntc.estimators\n"
        "assert not {'zarr', 'fsspec', 'dask', 'distributed'} & set(sys.modules)\n"
        "sys.modules['zarr'] = None\n"
        "from ntc.errors import UnsupportedError\n"
        "try:\n    import ntc.jobs\nexcept UnsupportedError as error:\n    print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'pip install "neural-tangent-compiler[jobs]"\n'


def test_events_are_lines_of_json(finished: Path) -> None:
    """Protects whoever reads the log of a job."""
    events = [json.loads(line) for line in (finished / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", *["block"] * 10, "round", "end"]


def test_plan_says_what_it_takes(finished: Path) -> None:
    """Protects `ntc job plan` and `--plan`, which agree, and do nothing: tasks, time, bytes."""
    command = "kernel net.nt --x1 a.npy --store other.zarr --plan --tile 4 --block 12 --workers 4"
    shown = run(finished, command).stdout
    assert shown.startswith("k(x, x) of 43 examples: 10 tasks, blocks of 12 x 12 in tiles of 4\n")
    assert "  4 workers: " in shown
    assert not (finished / "other.zarr").exists()
    again = run(finished, "job plan k.zarr --workers 4").stdout
    assert again.startswith(shown)
    assert "measured of 1 workers: a task" in again
    assert "and memory at the highest" in again
    facts = json.loads(run(finished, "job plan k.zarr --json").stdout)
    assert (facts["tasks"], facts["stored_bytes"]) == (10, 10 * 12 * 12 * 2 * 4)
    assert facts["wall_seconds"] > facts["task_seconds"] > 0
    assert facts["measured"][0]["first_seconds"] > facts["measured"][0]["later_seconds"] > 0


def test_status_draws_the_triangle(folder: Path) -> None:
    """Protects `ntc job status`: what is there, as a picture and as numbers."""
    (folder / "k.zarr" / "nngp" / "c" / "1" / "2").unlink()
    shown = run(folder, "job status k.zarr").stdout.splitlines()
    assert shown[:4] == ["████", " █·█", "  ██", "   █"]
    assert shown[4] == "9 of 10 blocks of nngp and ntk, 90.0%"
    assert shown[5] == "the kernel of the first 24 of 43 examples is whole"
    assert json.loads(run(folder, "job status k.zarr --json").stdout)["missing"] == 1


def test_verify_deletes_what_is_damaged_and_work_computes_it(folder: Path) -> None:
    """Protects `ntc job verify` and `work`: a cut block is deleted and computed again, and what is there is right."""
    path = folder / "k.zarr" / "nngp" / "c" / "0" / "1"
    path.write_bytes(path.read_bytes()[:50])
    shown = run(folder, "job verify k.zarr").stdout
    assert (
        shown
        == "20 blocks read, 1 damaged and deleted; 3 tiles are right, to the last bit\ndeleted: block 0,1 of nngp\n"
    )
    assert run(folder, "job work k.zarr --share 2/3").stdout == "1 blocks computed, 0 missing in k.zarr\n"
    assert json.loads(run(folder, "job verify k.zarr --json --tiles 20").stdout)["difference"] == 0


def test_verify_finds_what_is_wrong(folder: Path) -> None:
    """Protects readers from a worker that computed something else: its checksum is right, its numbers are not."""
    from ntc import jobs

    job = jobs.load(folder / "k.zarr")
    for task in job.manifest.blocks.tasks():
        block = job.store.read("ntk", job.manifest.blocks, task)
        job.store.write("ntk", job.manifest.blocks, task, block * np.float32(1.01))
    assert "is not what the program gives" in run(folder, "job verify k.zarr", status=1).stderr


def test_export_writes_numpy_files(folder: Path) -> None:
    """Protects `ntc job export`: both kernels, one of them block by block, and the sample that is whole."""
    run(folder, "job export k.zarr -o all.npz")
    run(folder, "job export k.zarr -o ntk.npy --kernel ntk")
    with np.load(folder / "all.npz") as found, np.load(folder / "k.npz") as first:
        assert np.array_equal(found["nngp"], first["nngp"])
        assert np.array_equal(np.load(folder / "ntk.npy"), first["ntk"])
        (folder / "k.zarr" / "nngp" / "c" / "1" / "2").unlink()
        run(folder, "job export k.zarr -o part.npz --leading")
        with np.load(folder / "part.npz") as part:
            assert part["ntk"].shape == (24, 24)
            assert np.array_equal(part["ntk"], first["ntk"][np.ix_(part["rows"], part["columns"])])
    assert "has not been computed" in run(folder, "job export k.zarr -o b.npz", status=1).stderr
    assert not (folder / "b.npz").exists()


def test_predict_from_a_store(folder: Path) -> None:
    """Protects `ntc predict --store`: the store of `ntc kernel` serves it, each solver predicts the same, and one that
    is not there is made, of the blocks that are needed."""
    y = X[:, 0] * X[:, 1]
    np.savez(folder / "train.npz", x=X, y=y)
    np.savez(folder / "test.npz", x=X[:5] + 0.1, y=y[:5])
    command = "predict net.nt --train train.npz --test test.npz --diag-reg 1e-2 --json"
    plain = json.loads(run(folder, command).stdout)
    ways = (("auto", ""), ("cholesky", "--scratch ."), ("cg", "--rank 10"), ("cg", "--no-variances"))
    for solver, more in (*ways, ("nystrom", "--rank 43")):
        found = json.loads(run(folder, f"{command} --store k.zarr --solver {solver} {more}").stdout)
        assert found["solver"] == ("cholesky" if solver == "auto" else solver)
        assert found["rmse"] == pytest.approx(plain["rmse"], rel=1e-2)
        assert ("iterations" in found, "kernel_error" in found) == (solver == "cg", solver == "nystrom")
    with np.load(folder / "predictions.npz") as arrays:
        assert np.isfinite(arrays["variance"]).all()
    assert json.loads(run(folder, f"{command} --store new.zarr --solver nystrom --rank 9").stdout)["rank"] == 9
    np.savez(folder / "other.npz", x=X[:9], y=y[:9])
    other = "predict net.nt --train other.npz --test test.npz --store k.zarr"
    assert "is of 43 other examples than those given, 9" in run(folder, other, status=1).stderr


WRONG_USE = {
    "kernel net.nt --x1 a.npy": "neither -o nor --store",
    "kernel net.nt --x1 a.npy -o k.npz --tile 3": "--tile needs --store",
    f"{KERNEL} --memory 1": "--memory does not go with --store",
    f"{KERNEL} --workers 2": "--workers needs an --engine that has workers",
    "predict net.nt --train a.npy --test a.npy --solver cg": "--solver needs --store",
    "predict net.nt --train a.npy --test a.npy --scratch .": "--scratch needs --store",
    "predict net.nt --train a.npy --test a.npy --store k.zarr --fit": "--fit does not go with --store",
    "job work k.zarr --share 4/3": "expected a part of all",
    "job export k.zarr -o k.npy": "a .npy file has one array",
}
WRONG_DATA = {
    f"{KERNEL} -p width=4": "is the store of another job",
    "kernel net.nt --x1 a.npy --store net.nt": "is there, and is not a store",
    "job status nothing.zarr": "there is no store",
    "job export k.zarr -o k.npz --kernel ntkgp": "has no ntkgp kernel",
    "job plan k.zarr --device h100": "h100 is a device of cuda",
}


@pytest.mark.parametrize("command", [*WRONG_USE, *WRONG_DATA])
def test_mistakes_are_said(command: str, finished: Path) -> None:
    """Protects the command line: a mistake ends with a message and status 2, or 1 where it is in the files."""
    found = run(finished, command, status=2 if command in WRONG_USE else 1)
    assert (WRONG_USE | WRONG_DATA)[command] in found.stderr
