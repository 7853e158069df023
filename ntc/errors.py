"""Every error that ntc raises on purpose: what is wrong, where, and what would be right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """A named piece of text (a model file, an IR file, a command-line option)."""

    name: str
    text: str = field(repr=False)

    def line(self, number: int) -> str:
        """Line `number` (from 1) without its end; empty past the end of the text."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip("\r") if 0 < number <= len(lines) else ""


@dataclass(frozen=True)
class Location:
    """A stretch of one line of a source; line and column count from 1."""

    source: Source
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def excerpt(self, width: int = 100) -> str:
        """The line with a caret under the stretch, cut to `width` columns around it."""
        line = "".join(c if c.isprintable() else " " for c in self.source.line(self.line))
        first = max(0, self.column - 1 - width // 2)
        shown = line[first : first + width]
        start = self.column - 1 - first
        length = max(1, min(self.length, len(shown) - start))
        return f"    {shown}\n    {' ' * start}{'^' * length}"


class NtcError(ValueError):
    """A mistake that the caller can mend. `str(error)` is the whole message, location included.

    Attributes:
      message: what is wrong, one line.
      location: where, if it is known.
      hint: what would be right, if it is known.
      notes: further lines of context.
      parameter: name of the op parameter to blame; front ends narrow the location with it.
    """

    def __init__(
        self,
        message: str,
        location: Location | None = None,
        hint: str | None = None,
        notes: tuple[str, ...] = (),
        parameter: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.hint = hint
        self.notes = notes
        self.parameter = parameter

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        lines = [f"{where}error: {self.message}"]
        if self.location:
            lines.append(self.location.excerpt())
        lines += [f"  {note}" for note in self.notes]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """All of it as data, for JSON: class, message, location (file, line, column, length from 1), notes, hint."""
        where = self.location
        place = where and {"file": where.source.name} | {x: getattr(where, x) for x in ("line", "column", "length")}
        return {
            "kind": type(self).__name__,
            "message": self.message,
            "location": place,
            "notes": list(self.notes),
            "hint": self.hint,
        }


class ParseError(NtcError):
    """Text that is not of the language or of the IR."""


class ElaborationError(NtcError):
    """A name, type, arity or value that does not fit in a model file."""


class LimitError(NtcError):
    """A documented limit is exceeded (file size, nesting, number of ops, rank, memory)."""


class ParameterError(NtcError):
    """A parameter of an op is outside its domain."""


class UsageError(ParameterError):
    """Options of a command line that are wrong in themselves or together, before any model or data is read."""


class ShapeError(NtcError):
    """Shapes that do not fit together."""


class NotGaussianError(NtcError):
    """A nonlinearity on a value whose infinite-width limit is not Gaussian."""


class DependenceError(NtcError):
    """Branches are joined whose cross-covariance is not zero, so the rule would be wrong."""


class UnsupportedError(NtcError, NotImplementedError):
    """Something that has no closed form here, with the reason."""


class NoLimitError(UnsupportedError):
    """A function that somebody gave, of which some places have no infinite-width limit, or are not recognised: `places`
    has all of them, each as module, file and line, what it is, why, and what would do."""

    def __init__(self, message: str, places: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint, notes=places)
        self.places = places


class InputError(NtcError):
    """Arrays or files that do not fit the program."""


class NonFiniteError(NtcError, ArithmeticError):
    """A kernel of finite inputs that overflows, or an integral that cannot be had to any digits."""


class VanishingWarning(UserWarning):
    """Kernels that are zero everywhere, as variances are smaller than any number of their type."""


class NonFiniteWarning(UserWarning):
    """Kernels of finite inputs that overflow, where that is allowed."""


class ArtifactError(NtcError):
    """A compiled file that is truncated, altered, foreign or of another version."""


class SelfTestError(NtcError):
    """A program computes something else than the reference: a defect of ours or of the compiler beneath."""


class VerifyError(NtcError):
    """A graph breaks an invariant of the IR: a defect of a pass, or IR text written by hand."""
