"""How programs are copied and pickled."""

from __future__ import annotations

from abc import ABC
from typing import Any, Self


class Portable(ABC):
    """A program of which nothing changes but what has been compiled, and which is made of graphs and options."""

    def __copy__(self) -> Self:
        """Another program that shares what is compiled."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Graphs and options. What is compiled is made again where it is unpickled, on as many devices."""
        program: Any = self
        options = program.target, program.devices, program.kernel_path, program.given_dtype, program.tested
        return _made, (type(self), program.network, program.graphs, *options)


def _made(
    class_: Any, network: Any, graphs: Any, target: Any, devices: int, path: Any, dtype: Any, tested: bool | None
) -> Any:
    made = class_(network, graphs, target, devices=devices, kernel_path=path, dtype=dtype)
    return made.with_self_test(tested)
