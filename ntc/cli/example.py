"""ntc example: a folder with a model and data, to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ntc.cli import files
from ntc.errors import UsageError
from ntc.files import write_text

TRAIN, TEST = 400, 200

MODEL = """\
# Handwritten digits of 8x8 pixels, with an infinitely wide convolutional network.
model digits(w_std = sqrt(2), b_std = 0.1) =
  input(8, 8, 1)
  |> conv(64, 3, w_std = w_std, b_std = b_std) |> relu
  |> conv(64, 3, w_std = w_std, b_std = b_std) |> relu
  |> avg_pool(2)
  |> conv(64, 3, w_std = w_std, b_std = b_std) |> relu
  |> flatten |> dense(10)
"""


def example_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; it is made.", show_default=False)],
) -> None:
    """Write a model file, a training and a test set of handwritten digits, and say what to do with them."""
    pixels, labels = files.digits()
    paths = [folder / name for name in ("model.nt", "train.npz", "test.npz")]
    there = [path for path in paths if path.exists()]
    if there:
        raise UsageError(f"{there[0]} is there already", hint="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    images = (pixels / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    write_text(paths[0], MODEL)
    files.write_arrays(paths[1], {"x": images[:TRAIN], "y": labels[:TRAIN]})
    files.write_arrays(paths[2], {"x": images[TRAIN : TRAIN + TEST], "y": labels[TRAIN : TRAIN + TEST]})
    print(f"{', '.join(map(str, paths))}: {TRAIN} digits to learn from, {TEST} to be tested on")
    print(f"next: ntc predict {paths[0]} --train {paths[1]} --test {paths[2]}")
