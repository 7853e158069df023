"""What a store of kernels is of: written once, compared by name when a job goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import ntc
from ntc.errors import InputError
from ntc.ir.types import DType, Target
from ntc.jobs.blocks import Blocks
from ntc.plan import KernelPath

FORMAT: Literal[1] = 1
_SHOWN = 12
"""Of the 64 digits of a checksum."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Versions(_Strict):
    """Of what decides the last bits."""

    ntc: str
    jax: str
    jaxlib: str

    @classmethod
    def here(cls) -> Versions:
        """Those that are installed."""
        return cls(ntc=ntc.__version__, jax=version("jax"), jaxlib=version("jaxlib"))


class Part(_Strict):
    """Examples that were given at one time.

    Attributes:
      examples: how many.
      sha256: of them, as they are packed for the program.
    """

    examples: int = Field(ge=1)
    sha256: str


class Manifest(_Strict):
    """What decides the numbers of a kernel matrix, and how they are stored.

    Attributes:
      format: of the store.
      symmetric: whether it is k(x1, x1).
      kernels: labels of the matrices: nngp, features.ntk.
      dtype, target, kernel_path, hyper: of the program; hyperparameters by name.
      network, graph: sha256 of the network, and of the optimised kernel graph.
      x1, x2: the examples; x2 has none of k(x1, x1).
      seed: of the order of examples; None is as they were given.
      refine: see `Program.__call__`.
      tile, block: examples on either side of a computation, and of a stored block.
      versions: those that the job has been run with, the first of them when it began.
      seconds: predicted for a block, on the device that it was planned for; not compared.
    """

    format: Literal[1]
    symmetric: bool
    kernels: tuple[str, ...]
    dtype: DType
    target: Target
    kernel_path: KernelPath
    hyper: dict[str, float]
    network: str
    graph: str
    x1: tuple[Part, ...]
    x2: tuple[Part, ...]
    seed: int | None
    refine: bool
    tile: int = Field(ge=1)
    block: int = Field(ge=1)
    versions: tuple[Versions, ...] = Field(min_length=1)
    seconds: float | None

    @property
    def n1(self) -> int:
        """Number of first examples."""
        return sum(part.examples for part in self.x1)

    @property
    def n2(self) -> int:
        """Number of second examples."""
        return self.n1 if self.symmetric else sum(part.examples for part in self.x2)

    @property
    def blocks(self) -> Blocks:
        """How the matrix is cut."""
        return Blocks(self.n1, self.n2, self.symmetric, self.block)

    def check(self, asked: Manifest, store: str, accept_versions: bool) -> None:
        """Raises InputError where a store is of another job than is asked for, with all that differs."""
        differing = [*self._differing(asked)]
        if not accept_versions and asked.versions[0] not in self.versions:
            differing.append(f"versions are {_named(self.versions[-1])} in the store, {_named(asked.versions[0])} here")
        if differing:
            only = len(differing) == 1 and differing[0].startswith("versions")
            hint = "--accept-versions goes on with those here, and records it: last bits may differ" if only else None
            raise InputError(
                f"{store} is the store of another job",
                notes=tuple(differing),
                hint=hint or "name another store, or ask for what is in this one",
            )

    def is_part_of(self, asked: Manifest) -> bool:
        """Whether the job that is asked for has all examples of this one, first, and more."""
        pairs = ((self.x1, asked.x1), (self.x2, asked.x2))
        return self.x1 + self.x2 != asked.x1 + asked.x2 and all(new[: len(own)] == own for own, new in pairs)

    def with_examples(self, other: Manifest) -> Manifest:
        """The same job with the examples of another."""
        return self.model_copy(update={"x1": other.x1, "x2": other.x2})

    def _differing(self, asked: Manifest) -> Iterator[str]:
        own, other = self._compared(), asked._compared()
        for name, value in own.items():
            if value != other[name]:
                yield f"{name}: {_shown(value)} in the store, {_shown(other[name])} asked for"

    def _compared(self) -> dict[str, Any]:
        values = {"n1": self.n1, "n2": self.n2} | self.model_dump(exclude={"versions", "seconds", "x1", "x2"})
        data = {f"data of {name}": [part.sha256 for part in getattr(self, name)] for name in ("x1", "x2")}
        return values | data

    @classmethod
    def read(cls, text: str, store: str) -> Manifest:
        """From JSON. Raises InputError where it is none of this version."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"]))
            hint = "it was made by another version of ntc, or by something else"
            raise InputError(f"{store}: manifest: {where}: {problem['msg']}", hint=hint) from None


def checksum(*parts: bytes) -> str:
    """sha256 of bytes, one after another."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, str) and len(value) == 64:
        return f"{value[:_SHOWN]}..."
    return str(value)


def _named(versions: Versions) -> str:
    return ", ".join(f"{name} {value}" for name, value in versions.model_dump().items())
