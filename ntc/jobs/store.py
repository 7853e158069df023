"""Where the blocks of kernel matrices are: a zarr group, in a folder or wherever fsspec reaches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ntc.errors import InputError, UnsupportedError
from ntc.jobs.blocks import Blocks, Present, Task
from ntc.jobs.manifest import Manifest

try:
    import fsspec
    import zarr
    from fsspec.implementations.local import LocalFileSystem
    from zarr.codecs import Crc32cCodec
except ImportError as error:  # an extra
    raise UnsupportedError(
        f"stores of kernels need zarr and fsspec ({error})", hint='pip install "neural-tangent-compiler[jobs]"'
    ) from None

_MANIFEST, _BEGUN, _PROGRAM, _WORKERS = "ntc_job", "ntc_job_begun", "program", "workers"
_DATA_BYTES = 16 * 2**20
"""Of examples that lie together."""

Array = npt.NDArray[Any]


class Store:
    """Arrays of one job: kernel matrices by label, examples in the order of the store, the program, the manifest.

    A matrix (n1, n2, ...) has one chunk for each block, with a checksum; of k(x, x) those below the diagonal are never
    written. A chunk appears whole or not at all, so the chunks that are not there are what is left to do, and there is
    no other record of it.

    Attributes:
      url: as it was given.
      address: what other processes find it by, in whatever folder they are.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        try:
            self._files, self._path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InputError(f"{self.url} is no place for a store: {error}") from None
        self._local = isinstance(self._files, LocalFileSystem)
        self.address = self._path if self._local else self.url
        self._arrays: dict[str, Any] = {}

    @property
    def exists(self) -> bool:
        """Whether a job has been created here, as a whole. Raises InputError if something else is here."""
        if not self._files.exists(self._path):
            return False
        try:
            group = self._group("r")
        except (FileNotFoundError, ValueError):
            foreign = not self._files.isdir(self._path) or bool(self._files.ls(self._path, detail=False))
        else:
            if _MANIFEST in group.attrs:
                return True
            # of another's group nothing is overwritten
            foreign = _BEGUN not in group.attrs and len(list(group.keys())) > 0
        if foreign:
            raise InputError(f"{self.url} is there, and is not a store", hint="name another place")
        return False

    def manifest(self) -> Manifest:
        """What the store is of. Raises InputError if there is no store, or of another version."""
        return Manifest.read(self.manifest_text(), self.url)

    def manifest_text(self) -> str:
        """The manifest as JSON. Raises InputError if there is no store."""
        if not self.exists:
            hint = "ntc kernel MODEL --x1 FILE --store STORE makes one"
            raise InputError(f"there is no store at {self.url}", hint=hint)
        return str(self._group("r").attrs[_MANIFEST])

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes it, in place of what was there; with it a store is whole."""
        group = self._group("r+")
        group.attrs[_MANIFEST] = manifest.model_dump_json()
        self._settle(Path(self._path) / "zarr.json")

    def create(self, manifest: Manifest, program: bytes, spatial: dict[str, tuple[int, ...]]) -> None:
        """Makes the arrays, without the manifest; those of a creation that was interrupted are made anew.

        `program` is an artifact, `spatial` the further axes of a matrix by its label.
        """
        self._files.makedirs(self._path, exist_ok=True)
        group = zarr.open_group(self.address, mode="a")
        group.attrs[_BEGUN] = True
        stored = np.frombuffer(program, np.uint8)
        _create(group, _PROGRAM, stored.shape, stored.shape, np.dtype(np.uint8))[:] = stored
        blocks, side = manifest.blocks, manifest.block
        for label in manifest.kernels:
            shape, chunks = (blocks.n1, blocks.n2, *spatial[label]), (side, side, *spatial[label])
            _create(group, label, shape, chunks, dtype_of(manifest), fill_value=float("nan"))

    def create_examples(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array for packed examples, (n, ...): x1 or x2."""
        rows = max(1, _DATA_BYTES // (int(np.prod(shape[1:])) * np.dtype(dtype).itemsize or 1))
        return _create(self._group("r+"), name, shape, (min(rows, shape[0]), *shape[1:]), np.dtype(dtype))

    def resized(self, name: str, *sizes: int) -> Any:
        """An array with other sizes of its first axes; what is there stays."""
        array = self.array(name)
        array.resize((*sizes, *array.shape[len(sizes) :]))
        return array

    def examples(self, name: str, span: slice) -> Array:
        """Some packed examples, (n, ...), in the order of the store. Raises InputError if they are damaged."""
        return self._read(name, (span,))

    def program(self) -> bytes:
        """The artifact. Raises InputError if it is damaged."""
        return self._read(_PROGRAM, (slice(None),)).tobytes()

    def present(self, manifest: Manifest) -> Present:
        """Which blocks (rows, columns) are there, of all kernels: one listing of each."""
        blocks = manifest.blocks
        found = np.ones((blocks.rows, blocks.columns), bool)
        for label in manifest.kernels:
            own = np.zeros_like(found)
            for i, j in self._listed(label):
                if i < blocks.rows and j < blocks.columns:
                    own[i, j] = True
            found &= own
        return found

    def has(self, manifest: Manifest, task: Task) -> bool:
        """Whether a block of all kernels is there."""
        return all(self._files.exists(self._chunk(label, task)) for label in manifest.kernels)

    def read(self, label: str, blocks: Blocks, task: Task) -> Array:
        """A block that is there. Raises InputError if it is damaged."""
        try:
            return self._read(label, (blocks.row_span(task[0]), blocks.column_span(task[1])))
        except InputError:
            raise InputError(
                f"block {task[0]},{task[1]} of {label} in {self.url} is damaged",
                hint=f"ntc job verify {self.url} deletes what is damaged; the job computes it again",
            ) from None

    def write(self, label: str, blocks: Blocks, task: Task, values: Array) -> None:
        """Writes a block, which is on the disk when this returns."""
        rows, columns = blocks.row_span(task[0]), blocks.column_span(task[1])
        self.array(label)[rows, columns] = values
        self._settle(Path(self._chunk(label, task)))

    def delete(self, label: str, task: Task) -> None:
        """Deletes a block, which then is to be computed."""
        path = self._chunk(label, task)
        if self._files.exists(path):
            self._files.rm(path)

    def array(self, label: str) -> Any:
        """The zarr array (n1, n2, ...) of a kernel, as it is stored."""
        if label not in self._arrays:
            array: Any = self._group("r+")[label]
            # a block of NaN is written as well: what is there is done
            self._arrays[label] = array.with_config({"write_empty_chunks": True})
        return self._arrays[label]

    def record(self, name: str, facts: dict[str, Any]) -> None:
        """Keeps what is to be known of a worker."""
        self._group("r+").require_group(f"{_WORKERS}/{name}").attrs.update(facts)

    def records(self) -> dict[str, dict[str, Any]]:
        """What is known of workers, by name."""
        group = self._group("r")
        if _WORKERS not in group:
            return {}
        workers: Any = group[_WORKERS]
        return {name: dict(member.attrs) for name, member in workers.groups()}

    def _group(self, mode: Any) -> Any:
        return zarr.open_group(self.address, mode=mode)

    def _read(self, name: str, place: tuple[slice, ...]) -> Array:
        try:
            return np.asarray(self.array(name)[place])
        except ValueError as error:  # of a checksum, or of bytes that are too few
            raise InputError(f"{name} in {self.url} is damaged ({error})") from None

    def _chunk(self, label: str, task: Task) -> str:
        further = ("0" for _ in self.array(label).shape[2:])
        return "/".join([self._path, label, "c", *map(str, task), *further])

    def _listed(self, label: str) -> Iterator[Task]:
        """Chunks of a matrix that are there."""
        root, depth = f"{self._path}/{label}/c", len(self.array(label).shape)
        names: Iterator[Sequence[str]]
        if self._local and depth == 2:
            names = _local_names(root)
        else:
            names = (path.removeprefix(root).strip("/").split("/") for path in self._files.find(root))
        for parts in names:
            if len(parts) == depth and all(part.isdigit() for part in parts):
                yield int(parts[0]), int(parts[1])

    def _settle(self, path: Path) -> None:
        """Waits until a local file, its name and the names of its folders are on the disk."""
        if not self._local:
            return
        root = Path(self._path)
        for part in (path, *(folder for folder in path.parents if folder.is_relative_to(root))):
            handle = os.open(part, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def open_array(path: str) -> Any:
    """A zarr array (n, ...) of examples. Raises InputError if there is none."""
    try:
        return zarr.open_array(path, mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{path} is not a zarr array ({error})") from None


def dtype_of(manifest: Manifest) -> np.dtype[Any]:
    """That of the entries."""
    return np.dtype(np.float32 if manifest.dtype == "f32" else np.float64)


def _create(group: Any, name: str, shape: Any, chunks: Any, dtype: Any, **options: Any) -> Any:
    return group.create_array(
        name, shape=shape, chunks=chunks, dtype=dtype, compressors=[Crc32cCodec()], overwrite=True, **options
    )


def _local_names(root: str) -> Iterator[Sequence[str]]:
    """Names of folders and of files in them, without asking what each file is."""
    if not os.path.isdir(root):
        return
    with os.scandir(root) as rows:
        for row in rows:
            with os.scandir(row.path) as files:
                yield from ((row.name, file.name) for file in files)
