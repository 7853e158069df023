"""Tables of numbers with a header, as spreadsheets and data frames write them: comma-separated, in UTF-8."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError
from ntc.files import decode, name_of, read_bytes
from ntc.ir.names import did_you_mean

MAX_BYTES = 2**30
"""Longest table that is read."""


@dataclass(frozen=True)
class Table:
    """Columns by name, each of one text per row.

    Attributes:
      name: what the file is called in messages.
      columns: (rows,) texts.
      lines: the line in the file of every row.
    """

    name: str
    columns: dict[str, list[str]]
    lines: list[int]

    def label(self, column: str | None) -> npt.NDArray[Any] | None:
        """The values of a column: numbers if all are, else texts. Without a name that of `y`, if there is one."""
        if column is not None and column not in self.columns:
            hint = did_you_mean(column, list(self.columns)) or f"columns: {', '.join(self.columns)}"
            raise InputError(f"{self.name} has no column {column}", hint=hint)
        texts = self.columns.get(column or "y")
        if texts is None:
            return None
        try:
            return np.array([int(text) for text in texts])
        except ValueError:
            pass
        try:
            return np.array([float(text) for text in texts])
        except ValueError:
            return np.array(texts)

    def features(self, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
        """Columns as numbers (rows, names), in this order. Raises InputError for one that is not there, and with the
        line of what is no number."""
        if not names:
            raise InputError(f"{self.name} has no columns beside that of labels")
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise InputError(f"{self.name} has no column {missing[0]}, which the first table has")
        return np.stack([self._numbers(name) for name in names], axis=1)

    def _numbers(self, column: str) -> npt.NDArray[np.float64]:
        try:
            return np.array(self.columns[column], dtype=np.float64)
        except ValueError:
            pass
        for text, line in zip(self.columns[column], self.lines, strict=True):
            try:
                float(text)
            except ValueError:
                what = f"{text!r} is no number" if text else "a value is missing"
                hint = "leave out the row, fill the gap, or write categories as columns of 0 and 1"
                raise InputError(f"{self.name}, line {line}, column {column}: {what}", hint=hint) from None
        raise AssertionError("every value is a number")


def feature_names(columns: Iterable[str], label: str | None) -> tuple[str, ...]:
    """The columns but that of the labels, y unless it is given."""
    return tuple(name for name in columns if name != (label or "y"))


def is_table(path: Path) -> bool:
    """Whether a file is read as a table, which its name says."""
    return path.suffix.lower() in (".csv", ".tsv")


def read_table(path: Path) -> Table:
    """The table of a .csv or .tsv file. Raises InputError, with the line."""
    name, rows = name_of(path), _rows(path, decode(read_bytes(path, MAX_BYTES), path).splitlines())
    header = _header(name, rows)
    body, lines = [], []
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise InputError(f"{name}, line {rows.line_num}: {len(row)} values, and {len(header)} columns")
        body.append([text.strip() for text in row])
        lines.append(rows.line_num)
    if not body:
        raise InputError(f"{name} has a header and no rows")
    return Table(name, dict(zip(header, map(list, zip(*body, strict=True)), strict=True)), lines)


def read_header(path: Path) -> list[str]:
    """The names of the columns of a table, of which the first line is read. Raises InputError."""
    with open(path, "rb") as file:
        line = file.readline(MAX_BYTES)
    return _header(name_of(path), _rows(path, [decode(line, path)]))


def _rows(path: Path, lines: list[str]) -> Any:
    return csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")


def _header(name: str, rows: Any) -> list[str]:
    header = [text.strip() for text in next(rows, [])]
    if not header or any(_is_number(text) for text in header):
        raise InputError(f"{name} has no header", hint="its first line should name the columns, as x1,x2,y")
    if len(set(header)) < len(header):
        twice = next(text for text in header if header.count(text) > 1)
        raise InputError(f"{name} has two columns called {twice!r}")
    return header


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
