"""Kernel matrices as jobs: the numbers are those of the program, in whatever order and however often it is begun."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import ntc
from ntc import jobs, nn
from ntc.errors import InputError, LimitError, ParameterError
from ntc.frontend.layers import Network
from ntc.jobs.blocks import Blocks, shuffled
from ntc.jobs.manifest import Versions
from tests.shown import ROOT
from tests.stores import NETWORK, X, is_plain, plain_job, plain_work, small_job

IMAGES = np.random.default_rng(1).normal(size=(11, 4, 4, 1)).astype(np.float32)
POOLED = nn.input(4, 4, 1) >> nn.conv(8, 3) >> nn.relu() >> nn.avg_pool(2) >> nn.flatten() >> nn.dense(2)
MASKED = nn.input(4, 4, 1) >> nn.mask(value=9.0) >> nn.conv(8, 3) >> nn.relu() >> nn.global_avg_pool() >> nn.dense(2)
SPATIAL = nn.input(4, 4, 1) >> nn.conv(8, 3) >> nn.relu() >> nn.avg_pool(2)


def computed(network: Network, folder: Path, *x: Any, **options: Any) -> tuple[ntc.Program, jobs.Job]:
    """A program, and a job of it that has been run."""
    program = ntc.build(network)
    given = {name: options.pop(name) for name in ("mask1", "mask2") if name in options}
    job = jobs.create(program, *x, store=folder / "k.zarr", **{"tile": 2, "block": 4}, **given, **options)
    job.run()
    return program, job


def test_a_job_has_the_bits_of_the_program(tmp_path: Path) -> None:
    """Protects the promise of jobs: both kernels equal those of the program with the same tile, to the last bit, with
    examples in the order of the store; and they are those of the program in the order in which they were given."""
    job = small_job(tmp_path / "k.zarr")
    job.run()
    program, order = ntc.build(NETWORK), job.kernel().order1
    assert sorted(order) == list(range(len(X)))
    assert not np.array_equal(order, np.arange(len(X)))
    expected = program(X[order], tile=4)
    for label in ("nngp", "ntk"):
        found = np.asarray(job.kernel(label))
        assert np.array_equal(found[np.ix_(order, order)], getattr(expected, label))
        assert np.array_equal(found, found.T)
        assert np.allclose(found, getattr(program(X), label), rtol=1e-5)


def test_a_job_of_two_sets(tmp_path: Path) -> None:
    """Protects k(x1, x2): every block, of ragged sets with an order each, to the last bit."""
    program, job = computed(POOLED, tmp_path, IMAGES[:7], IMAGES[7:])
    kernel = job.kernel("ntk")
    rows, columns = kernel.order1, kernel.order2
    expected = program(IMAGES[:7][rows], IMAGES[7:][columns], tile=2)
    assert np.array_equal(np.asarray(kernel)[np.ix_(rows, columns)], expected.ntk)


def test_a_job_with_masks(tmp_path: Path) -> None:
    """Protects masks, which travel with the examples and their order."""
    masks = np.zeros(IMAGES.shape[:3], bool)
    masks[::3, 2:] = True
    program, job = computed(MASKED, tmp_path, IMAGES, mask1=masks)
    assert np.allclose(np.asarray(job.kernel("ntk")), program(IMAGES, mask1=masks).ntk, rtol=1e-5)


def test_a_job_that_keeps_positions(tmp_path: Path) -> None:
    """Protects kernels between positions: blocks below the diagonal change places of both axes of every pair."""
    program, job = computed(SPATIAL, tmp_path, IMAGES[:6])
    found = np.asarray(job.kernel("nngp"))
    assert found.shape == (6, 6, 2, 2, 2, 2)
    assert np.allclose(found, program(IMAGES[:6]).nngp, rtol=1e-5)


def test_a_job_of_hyperparameters_and_several_inputs(tmp_path: Path) -> None:
    """Protects what a program is told beside examples: values of hyperparameters, and inputs by name."""
    a, b = nn.input(3, name="a"), nn.input(2, name="b")
    scaled = nn.sum(a >> nn.dense(8, w_std=nn.hyper(1.0, "scale")), b >> nn.dense(8)) >> nn.relu() >> nn.dense(1)
    program = ntc.build(scaled).with_hyper({"scale": 2.0})
    x = {"a": X[:, :3], "b": X[:, 3:5]}
    job = jobs.create(program, x, store=tmp_path / "k.zarr", tile=8, block=24)
    job.run()
    assert np.allclose(np.asarray(job.kernel()), program(x).nngp, rtol=1e-5)
    with pytest.raises(InputError, match=r"hyper: \{'scale': 2.0\} in the store, \{'scale': 3.0\} asked for"):
        jobs.create(program.with_hyper({"scale": 3.0}), x, store=tmp_path / "k.zarr")


def test_blocks_of_nothing_but_nan_are_done(tmp_path: Path) -> None:
    """Protects jobs on examples that are not finite from never ending: a block is done when it is there."""
    x = np.full((8, 6), np.nan, np.float32)
    job = jobs.create(ntc.build(NETWORK), x, store=tmp_path / "k.zarr", tile=4, block=4)
    job.run()
    assert job.missing == 0
    assert np.isnan(np.asarray(job.kernel())).all()


@pytest.mark.parametrize("n2", [None, 9, 31])
def test_the_first_blocks_are_a_whole_kernel(n2: int | None) -> None:
    """Protects the order: after a square number of rows of blocks, the kernel of the first examples is whole; every
    block comes once."""
    blocks = Blocks(20, n2 or 20, n2 is None, 4)
    tasks = list(blocks.tasks())
    assert len(set(tasks)) == len(tasks) == blocks.count
    assert all(i <= j for i, j in tasks) or n2
    present = np.zeros((blocks.rows, blocks.columns), bool)
    for number, task in enumerate(tasks, 1):
        present[task] = True
        side = blocks.leading(present)
        assert number >= (side * (side + 1) // 2 if n2 is None else side**2)
        if number == (3 * 4 // 2 if n2 is None else 9):
            assert side == 3
    assert blocks.missing_count(present) == 0


def test_the_leading_kernel_is_that_of_a_sample(tmp_path: Path) -> None:
    """Protects what is usable before the end: the kernel of the first examples, and which these are."""
    job = small_job(tmp_path / "k.zarr")
    for task in list(job.manifest.blocks.tasks())[:4]:  # three blocks are the first square, of 24 examples
        jobs.work(job.store.url, task)
    rows, columns, found = job.kernel("ntk").leading()
    assert len(rows) == 24
    assert np.array_equal(rows, columns)
    assert np.array_equal(found, ntc.build(NETWORK)(X[rows], tile=4).ntk)
    with pytest.raises(InputError, match=r"block 0,3 of ntk in .* has not been computed"):
        np.asarray(job.kernel("ntk"))


def test_views_are_of_the_same_numbers(tmp_path: Path) -> None:
    """Protects readers of other libraries: dask has the matrix in the order of the store, zarr its upper triangle."""
    job = plain_job(tmp_path / "k.zarr")
    for task in job.manifest.blocks.tasks():
        plain_work(job.store.url, task)
    whole = np.asarray(job.kernel())
    assert np.array_equal(job.kernel().dask().compute(scheduler="synchronous"), whole)
    raw = zarr.open_group(tmp_path / "k.zarr", mode="r")["nngp"][:]
    assert np.array_equal(raw[:4], whole[:4])
    assert np.isnan(raw[4:, :4]).all()


def test_any_place_will_do() -> None:
    """Protects stores that are not folders: whatever fsspec reaches, here memory."""
    job = plain_job("memory://somewhere/k.zarr")
    for task in job.manifest.blocks.tasks():
        plain_work(job.store.url, task)
    assert jobs.load("memory://somewhere/k.zarr").missing == 0
    assert is_plain(job)


def test_the_order_is_of_a_seed() -> None:
    """Protects the order of examples: a permutation of each part by itself, so that examples can be added."""
    order = shuffled(3, (5, 4))
    assert sorted(order[:5]) == [0, 1, 2, 3, 4]
    assert np.array_equal(order[:5], shuffled(3, (5,)))
    assert not np.array_equal(shuffled(3, (50,)), shuffled(4, (50,)))
    assert np.array_equal(shuffled(None, (3, 2)), np.arange(5))


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 5}, "seed: 0 in the store, 5 asked for"),
    "refine": ({"refine": False}, "refine: True in the store, False asked for"),
    "block": ({"block": 24}, "block: 12 in the store, 24 asked for"),
    "tile": ({"tile": 6}, "tile: 4 in the store, 6 asked for"),
    "n1": ({"x1": X[:40]}, "n1: 43 in the store, 40 asked for"),
    "data": ({"x1": X + 1}, r"data of x1: \w{12}\.\.\. in the store, \w{12}\.\.\. asked for"),
    "symmetric": ({"x2": X}, "symmetric: True in the store, False asked for"),
    "kernels": ({"kernels": ("ntk",)}, "kernels: nngp, ntk in the store, ntk asked for"),
    "dtype": ({"dtype": "float64"}, "dtype: f32 in the store, f64 asked for"),
    "target": ({"target": "cuda"}, "target: cpu in the store, cuda asked for"),
    "kernel_path": ({"kernel_path": "xla"}, "kernel_path: auto in the store, xla asked for"),
    "network": ({"network": nn.input(6) >> nn.dense(1)}, r"network: \w{12}\.\.\. in the store"),
    "graph": ({"form": "covariance"}, r"graph: \w{12}\.\.\. in the store"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the small job, of which nothing is computed."""
    path = tmp_path_factory.mktemp("jobs") / "k.zarr"
    small_job(path)
    return path


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_store_of_another_job_is_refused(name: str, stored: Path) -> None:
    """Protects stores from mixtures: each thing that decides the numbers is compared, and both values are said."""
    options, message = DIFFERENT[name]
    own = dict(options)
    build = {key: own.pop(key) for key in ("kernels", "dtype", "target", "form", "kernel_path") if key in own}
    program = ntc.build(own.pop("network", NETWORK), **build)
    x = (own.pop("x1", X), *([own.pop("x2")] if "x2" in own else ()))
    with pytest.raises(InputError, match="is the store of another job") as error:
        jobs.create(program, *x, store=stored, **own)
    assert re.search(message, str(error.value))


def test_other_versions_are_accepted_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects stores from bits of two compilers: another jaxlib is refused, by workers as well, until it is accepted,
    which is recorded."""
    job = small_job(tmp_path / "k.zarr")
    newer = Versions.here().model_copy(update={"jaxlib": "99.0"})
    monkeypatch.setattr(Versions, "here", classmethod(lambda cls: newer))
    with pytest.raises(InputError, match=r"jaxlib 99\.0 here\n  hint: --accept-versions"):
        small_job(tmp_path / "k.zarr")
    assert "other versions" in jobs.work(job.store.url, (0, 0)).message
    small_job(tmp_path / "k.zarr", accept_versions=True)
    assert [x.jaxlib for x in jobs.load(tmp_path / "k.zarr").manifest.versions][1:] == ["99.0"]
    assert jobs.work(job.store.url, (0, 0)).computed


def test_a_manifest_of_another_version(tmp_path: Path) -> None:
    """Protects stores of later versions, and readers of what is none."""
    plain_job(tmp_path / "k.zarr")
    group = zarr.open_group(tmp_path / "k.zarr", mode="r+")
    group.attrs["ntc_job"] = str(group.attrs["ntc_job"]).replace('"format":1', '"format":2')
    with pytest.raises(InputError, match="manifest: format"):
        jobs.load(tmp_path / "k.zarr")


def test_places_with_something_else(tmp_path: Path) -> None:
    """Protects what is there already, files and folders alike; an empty folder will do, a missing store is said."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    zarr.create_group(tmp_path / "group").create_array("x1", data=np.ones(3))
    zarr.create_array(tmp_path / "array", data=np.ones(3))
    for name in ("notes", "file", "group", "array"):
        with pytest.raises(InputError, match="is there, and is not a store"):
            plain_job(tmp_path / name)
    (tmp_path / "empty").mkdir()
    plain_job(tmp_path / "empty")
    with pytest.raises(InputError, match="there is no store at"):
        jobs.load(tmp_path / "nothing.zarr")
    with pytest.raises(InputError, match="no place for a store"):
        jobs.load("nosuch://place")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tile": 0}, ParameterError, "tile should be 1 or more"),
        ({"tile": 4, "block": 10}, ParameterError, "block should be a multiple of the tile"),
        ({"tile": None, "block": 16381}, ParameterError, "is no multiple of a tile"),
        ({"tile": 12, "block": 12000}, LimitError, "has 549 MiB, more than 512"),
        ({"device": "h100"}, ParameterError, "h100 is a device of cuda"),
    ],
)
def test_plans_that_make_no_sense(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    """Protects callers from stores that cannot be used."""
    with pytest.raises(error, match=message):
        small_job(tmp_path / "k.zarr", **options)
    assert not (tmp_path / "k.zarr").exists()


def test_examples_that_do_not_fit(tmp_path: Path) -> None:
    """Protects callers from hours of work on the wrong arrays."""
    for x in (X[:0], np.zeros(()), X[:, :5]):
        with pytest.raises(InputError, match="x1 should have"):
            jobs.create(ntc.build(NETWORK), x, store=tmp_path / "k.zarr")


@pytest.mark.parametrize(("more", "new"), [(53, 9), (48, 4), (60, 9)])
def test_examples_are_added(more: int, new: int, tmp_path: Path) -> None:
    """Protects what is computed when there are more examples: only blocks of the new ones, and those that were not
    whole, are missing; the end is the kernel of all, to the last bit."""
    x = np.concatenate([X, np.random.default_rng(9).normal(size=(more - len(X), 6)).astype(np.float32)])
    program = ntc.build(NETWORK)
    small_job(tmp_path / "k.zarr").run()
    with pytest.raises(InputError, match=f"n1: 43 in the store, {more} asked for"):
        jobs.create(program, x, store=tmp_path / "k.zarr")
    job = jobs.create(program, x, store=tmp_path / "k.zarr", extend=True)
    assert job.missing == new
    job.run()
    order = job.kernel().order1
    assert np.array_equal(order[:43], jobs.load(tmp_path / "k.zarr").kernel().order1[:43])
    assert sorted(order[:43]) == list(range(43))
    found = np.asarray(job.kernel("ntk"))
    assert np.array_equal(found[np.ix_(order, order)], program(x[order], tile=4).ntk)
    assert jobs.create(program, x, store=tmp_path / "k.zarr").missing == 0
    with pytest.raises(InputError, match="data of x1"):
        jobs.create(program, x[::-1].copy(), store=tmp_path / "k.zarr", extend=True)


def test_examples_are_added_to_two_sets(tmp_path: Path) -> None:
    """Protects k(x1, x2) of more first and more second examples."""
    program, job = computed(POOLED, tmp_path, IMAGES[:3], IMAGES[5:10])
    job = jobs.create(program, IMAGES[:5], IMAGES[5:], store=tmp_path / "k.zarr", extend=True)
    job.run()
    kernel = job.kernel("nngp")
    rows, columns = kernel.order1, kernel.order2
    expected = program(IMAGES[:5][rows], IMAGES[5:][columns], tile=2)
    assert np.array_equal(np.asarray(kernel)[np.ix_(rows, columns)], expected.nngp)


@pytest.mark.filterwarnings("ignore")
def test_python_in_the_page_on_jobs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the page: its examples run one after the other, but for the cluster, with results as the text says."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "jobs.md").read_text(), re.DOTALL):
        if "dask_client" not in code:
            exec(code, names)
    assert names["matrix"].shape == (300, 300)
    assert np.array_equal(names["sample"], names["matrix"][np.ix_(names["rows"], names["columns"])])
    assert names["blocks"].shape == (300, 300)
    assert names["job"].manifest.n1 == 340
    assert names["posterior"].mean.shape == (5, 1)
