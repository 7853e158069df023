"""Data sets as they are distributed, from small files of the same formats."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ntc import datasets
from ntc.errors import InputError
from tests.command_line import run

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (13, 32, 32, 3)).astype(np.uint8)
CLASSES = np.arange(13) % 10
DIGITS = RANDOM.integers(0, 256, (6, 28, 28)).astype(np.uint8)


def batch(images: Any, *labels: Any) -> bytes:
    """Records of CIFAR: labels, then the red, the green and the blue image."""
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.hstack([*(x[:, None].astype(np.uint8) for x in labels), rows]).tobytes()


def idx(array: Any) -> bytes:
    """An IDX file of bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CIFAR-10 of ten images and three, CIFAR-100 of the same, and MNIST of six digits."""
    for number in range(5):
        own = slice(2 * number, 2 * number + 2)
        (tmp_path / f"data_batch_{number + 1}.bin").write_bytes(batch(COLOURS[own], CLASSES[own]))
    (tmp_path / "test_batch.bin").write_bytes(batch(COLOURS[10:], CLASSES[10:]))
    (tmp_path / "train.bin").write_bytes(batch(COLOURS[:10], CLASSES[:10] // 5, CLASSES[:10] + 80))
    (tmp_path / "test.bin").write_bytes(batch(COLOURS[10:], CLASSES[10:] // 5, CLASSES[10:] + 80))
    for name, images in (("train", DIGITS), ("t10k", DIGITS[:2])):
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx(CLASSES[: len(images)]))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "images", "labels"),
    [
        ("cifar10", COLOURS[:10], CLASSES[:10]),
        ("cifar10-test", COLOURS[10:], CLASSES[10:]),
        ("cifar100", COLOURS[:10], CLASSES[:10] + 80),
        ("cifar100-test", COLOURS[10:], CLASSES[10:] + 80),
        ("mnist", DIGITS[..., None], CLASSES[:6]),
        ("fashion-mnist-test", DIGITS[:2, ..., None], CLASSES[:2]),
    ],
)
def test_images_are_where_they_belong(name: str, images: Any, labels: Any, folder: Path) -> None:
    """Protects the order of bytes in the files: pixels, channels and labels, and the scale, which is that of the
    training set for both."""
    found, train = datasets.read(f"{name}:{folder}"), COLOURS[:10] if "cifar" in name else DIGITS[..., None]
    expected = (images - train.mean((0, 1, 2))) / train.std((0, 1, 2))
    assert np.allclose(found.x, expected, atol=1e-5)
    assert found.x.dtype == np.float32
    assert np.array_equal(found.y, labels)
    assert datasets.is_named(f"{name}:{folder}")


def test_files_that_are_not_right(folder: Path) -> None:
    """Protects from numbers of other files: those that are cut, foreign or not there are said."""
    (folder / "test.bin").write_bytes(b"\0" * 100)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\7\1\0\0\0\1\0")
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(CLASSES[:6])[:-1])
    for name, message in {
        "cifar100-test": "has 100 bytes, which is no number of records of 3074",
        "mnist-test": "has 13 bytes, not those of an array of shape",
        "cifar11": "no data set is called cifar11",
    }.items():
        with pytest.raises(InputError, match=message):
            datasets.read(f"{name}:{folder}")
    with pytest.raises(InputError, match="is not an IDX file"):
        datasets.read_idx(folder / "t10k-labels-idx1-ubyte")
    with pytest.raises(InputError, match="there is no file"):
        datasets.read(f"cifar10:{folder / 'nothing'}")
    assert not datasets.is_named("a.npy")
    assert not datasets.is_named("C:a.npy")


def test_data_sets_from_the_command_line(folder: Path) -> None:
    """Protects the whole command of a figure: `--data cifar10:FOLDER` into a store, and predictions from names; and
    examples that are a zarr array."""
    (folder / "net.nt").write_text("model net = input(32, 32, 3) |> flatten |> dense(8) |> relu |> dense(1)\n")
    shown = run(folder, f"kernel net.nt --data cifar10:{folder} --store k.zarr --json").stdout
    assert json.loads(shown)["shapes"]["ntk"] == [10, 10]
    command = f"predict net.nt --train cifar10:{folder} --test cifar10-test:{folder} --store k.zarr --json"
    assert json.loads(run(folder, command).stdout)["test"] == 3
    x = datasets.read(f"cifar10:{folder}").x
    zarr.create_array(str(folder / "x.zarr"), data=x, chunks=(4, 32, 32, 3))
    assert "0 of 1 blocks computed" in run(folder, "kernel net.nt --x1 x.zarr --store k.zarr").stdout
    assert "is not a zarr array" in run(folder, "kernel net.nt --x1 k.zarr --store s.zarr", status=1).stderr
