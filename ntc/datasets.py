"""Data sets in the files in which they are distributed: CIFAR-10 and CIFAR-100 in binary, MNIST and its kin as IDX.

`cifar10:FOLDER` names the training set of the files in a folder, `cifar10-test:FOLDER` the test set. Nothing is
downloaded.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError

_SIDE = 32
"""Of images of CIFAR."""

_KINDS = {8: np.uint8, 9: np.int8, 11: np.int16, 12: np.int32, 13: np.float32, 14: np.float64}
"""Numbers of IDX files, by the third byte; the most significant byte is first."""


@dataclass(frozen=True)
class DataSet:
    """Images and their classes.

    Attributes:
      x: (n, height, width, channels) in float32: pixels from 0 to 1, less the mean of their channel over the training
        set, over its standard deviation.
      y: (n,) whole numbers from zero.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]


def is_named(text: str) -> bool:
    """Whether it is the name of a data set and a folder, `mnist:FOLDER`."""
    return text.partition(":")[0].removesuffix("-test") in _READERS and ":" in text


def read(text: str) -> DataSet:
    """The data set `NAME:FOLDER` or `NAME-test:FOLDER`. Raises InputError for files that are not there or damaged."""
    name, _, folder = text.partition(":")
    reader = _READERS.get(name.removesuffix("-test"))
    if reader is None:
        raise InputError(
            f"no data set is called {name}", hint=f"there are {', '.join(_READERS)}, with -test or without"
        )
    train, _ = found = reader(Path(folder), False)
    pixels, labels = reader(Path(folder), True) if name.endswith("-test") else found
    axes = (0, 1, 2)
    mean, deviation = train.mean(axes, dtype=np.float64), train.std(axes, dtype=np.float64)
    scaled = (pixels - mean.astype(np.float32)) / np.where(deviation > 0, deviation, 255).astype(np.float32)
    return DataSet(scaled.astype(np.float32), labels.astype(np.int64))


def _cifar10(folder: Path, test: bool) -> tuple[Any, Any]:
    names = ["test_batch.bin"] if test else [f"data_batch_{number}.bin" for number in range(1, 6)]
    parts = [_records(folder / name, labels=1) for name in names]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _cifar100(folder: Path, test: bool) -> tuple[Any, Any]:
    return _records(folder / ("test.bin" if test else "train.bin"), labels=2)


def _records(path: Path, labels: int) -> tuple[Any, Any]:
    """Images (n, 32, 32, 3) and the last of the labels (n,) before each of them; channels are whole images in the
    file."""
    size = labels + 3 * _SIDE**2
    content = np.frombuffer(_content(path), np.uint8)
    if not content.size or content.size % size:
        raise InputError(f"{path} has {content.size} bytes, which is no number of records of {size}")
    records = content.reshape(-1, size)
    return records[:, labels:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1), records[:, labels - 1]


def _mnist(folder: Path, test: bool) -> tuple[Any, Any]:
    start = "t10k" if test else "train"
    images, labels = read_idx(folder / f"{start}-images-idx3-ubyte"), read_idx(folder / f"{start}-labels-idx1-ubyte")
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise InputError(f"{folder}: images of shape {images.shape} do not go with labels of shape {labels.shape}")
    return images[..., None], labels


def read_idx(path: Path) -> npt.NDArray[Any]:
    """The array of an IDX file, or of the same with .gz behind its name. Raises InputError if it is none."""
    content = _content(path)
    kind, axes = _KINDS.get(content[2] if len(content) > 3 else 0), content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:2] != b"\0\0" or kind is None or len(content) < start:
        raise InputError(f"{path} is not an IDX file")
    shape = np.frombuffer(content, ">u4", axes, 4).astype(int)
    dtype = np.dtype(kind).newbyteorder(">")
    if len(content) != start + int(np.prod(shape)) * dtype.itemsize:
        raise InputError(f"{path} has {len(content)} bytes, not those of an array of shape {tuple(shape.tolist())}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    """Of a file, or of one that is compressed. Raises InputError if neither is there."""
    packed = path.with_name(path.name + ".gz")
    if path.exists():
        return path.read_bytes()
    if not packed.exists():
        raise InputError(f"there is no file {path}", hint="unpack what the data set is distributed as into its folder")
    try:
        return gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{packed} is damaged ({error})") from None


_READERS: Mapping[str, Callable[[Path, bool], tuple[Any, Any]]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "mnist": _mnist,
    "fashion-mnist": _mnist,
}
