"""Arrays that commands read and write, and checks of where results go, before they are computed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import typer

from ntc import datasets
from ntc.cli.tables import feature_names, is_table, read_header, read_table
from ntc.errors import InputError, UsageError
from ntc.files import STANDARD, replacing


def writable(path: Path | None) -> Path | None:
    """Checks where something is to be written, before it is computed. Raises UsageError."""
    if path is None or path == STANDARD:
        return path
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint=f"name a file in it, as {path / 'out'}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: no permission")
    return path


def picture(path: Path | None) -> Path | None:
    """Checks where a picture is to be drawn, and that matplotlib can. Raises UsageError, UnsupportedError."""
    if path is None:
        return None
    from ntc.plot.canvas import require_matplotlib

    require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        raise UsageError(f"{path}: pictures are not drawn as {path.suffix}", hint="name it .png, .svg or .pdf")
    return _writable_file(path)


def written(*names: str, help: str) -> Any:  # as typer calls it
    """An option for text that is written, to a file or standard output, which is checked when the command is read."""
    return typer.Option(*names, callback=writable, help=help)


def written_binary(*names: str, help: str) -> Any:
    """An option for a file of what is not text, which is checked likewise."""
    return typer.Option(*names, callback=_writable_file, help=help)


def _writable_file(path: Path | None) -> Path | None:
    if path == STANDARD:
        raise UsageError("what is written here is not text: - for standard output will not do", hint="name a file")
    return writable(path)


def drawn(*names: str, help: str) -> Any:
    """An option for a picture, which is checked likewise."""
    return typer.Option(*names, callback=picture, help=help)


def read_array(path: Path, key: str | None = None, alone: bool = False, mapped: bool = False) -> npt.NDArray[Any]:
    """The array of a .npy file; of a .npz file the one called `key`, without one the only array, or x. If a key is
    given, a .npy file will do where it may be `alone`. Of a table (.csv, .tsv) all columns but y. Examples, or labels
    for the key y, of a named data set (`ntc.datasets`). With `mapped`, a .npy file is not read yet, and neither is a
    zarr array. Raises InputError."""
    if datasets.is_named(str(path)):
        found = datasets.read(str(path))
        return found.y if key == "y" else found.x
    if is_table(path):
        table = read_table(path)
        return table.features(feature_names(table.columns, None))
    if mapped and path.is_dir():
        array: npt.NDArray[Any] = _zarr_array(path)
        return array
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
        if isinstance(loaded, np.ndarray):
            if key is not None and not alone:
                raise InputError(f"{path} holds one array", hint=f"expected a .npz file with {key} among its arrays")
            return loaded
        names = loaded.files
        wanted = names[0] if key is None and len(names) == 1 else key or "x"
        if wanted not in names:
            listed = ", ".join(names) or "(none)"
            raise InputError(f"{path} has the arrays {listed}, expected {key or 'one array, or x'}")
        chosen: npt.NDArray[Any] = loaded[wanted]
        return chosen
    except InputError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{path} is not a NumPy file of numbers ({error})", hint="write it with numpy.save") from None


def read_examples(
    path: Path, inputs: tuple[str, ...], mapped: bool = False, like: Path | None = None
) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
    """One array, or of a network of several inputs the arrays of a .npz file by their names. Of two tables, the columns
    are those of the one that this is `like`, in its order. Raises InputError."""
    if like is not None and is_table(path) and is_table(like):
        return read_table(path).features(feature_names(read_header(like), None))
    if len(inputs) == 1:
        return read_array(path, mapped=mapped)
    return {name: read_array(path, name) for name in inputs}


def digits(instead: str = "") -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Handwritten digits (1797, 64), of numbers from 0 to 16, and their labels. Raises InputError."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        hint = f'pip install "neural-tangent-compiler[demo]"{instead}'
        raise InputError("the digits are scikit-learn's, which is not installed", hint=hint) from None
    found: tuple[npt.NDArray[Any], npt.NDArray[Any]] = load_digits(return_X_y=True)
    return found


def _zarr_array(path: Path) -> Any:
    """The zarr array of a folder. Raises InputError."""
    from ntc.jobs.store import open_array

    return open_array(str(path))


def write_arrays(path: Path, arrays: Mapping[Any, npt.NDArray[Any]]) -> None:
    """Writes a .npz file, which appears whole or not at all."""
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub takes allow_pickle for an array
