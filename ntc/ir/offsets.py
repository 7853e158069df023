"""Sets of tracked offsets along one spatial axis.

Entry (p, p') of a covariance has the offset p' - p. A value tracks the same set of offsets at every
position; the sets that arise from convolutions, strides and poolings are arithmetic progressions
around zero, so a set is (low, high, step).
"""

from __future__ import annotations

from math import gcd

from pydantic import Field

from ntc.ir.schema import frozen


@frozen
class Offsets:
    """The progression low, low + step, ..., high. {0} is (0, 0, 1)."""

    low: int
    high: int
    step: int = Field(default=1, ge=1)

    @classmethod
    def full(cls, size: int) -> Offsets:
        """Every offset of an axis of `size` positions."""
        return cls(1 - size, size - 1)

    @property
    def diagonal(self) -> bool:
        """Whether only p' = p is tracked."""
        return self.low == self.high == 0

    def covers(self, other: Offsets) -> bool:
        """Whether every offset of `other` is tracked here."""
        inside = self.low <= other.low and other.high <= self.high
        aligned = (other.low - self.low) % self.step == 0
        return inside and aligned and (other.low == other.high or other.step % self.step == 0)

    def join(self, other: Offsets) -> Offsets:
        """The smallest progression that covers both."""
        if self.covers(other):
            return self
        if other.covers(self):
            return other
        steps = [x.step for x in (self, other) if x.low != x.high]
        step = gcd(*steps, abs(self.low - other.low)) or 1
        return Offsets(min(self.low, other.low), max(self.high, other.high), step)

    def scaled(self, stride: int) -> Offsets:
        """stride * D: the offsets below a strided filter whose two taps move together."""
        step = self.step * stride if self.low != self.high else 1
        return Offsets(self.low * stride, self.high * stride, step)

    def widened(self, window: int) -> Offsets:
        """D + {-(window - 1), ..., window - 1}: below a filter whose two taps move independently."""
        if window == 1:
            return self
        return Offsets(self.low - window + 1, self.high + window - 1)

    def clipped(self, size: int) -> Offsets:
        """The offsets that exist on an axis of `size` positions."""
        low = self.low + -(-max(0, 1 - size - self.low) // self.step) * self.step
        high = low + max(0, min(self.high, size - 1) - low) // self.step * self.step
        return Offsets(low, high, self.step if low != high else 1)

    def count(self, modulus: int) -> int:
        """Number of residues of the offsets."""
        return min((self.high - self.low) // self.step + 1, modulus // gcd(self.step, modulus))

    def residues(self, modulus: int) -> tuple[int, ...]:
        """The offsets as residues, each once, beginning with that of the lowest."""
        return tuple((self.low + i * self.step) % modulus for i in range(self.count(modulus)))

    def text(self, size: int, modulus: int) -> str:
        """`0`, `*` (all), `low..high` or `low..high/step`; then `%modulus` if that is not the size."""
        if self.diagonal:
            text = "0"
        elif self == Offsets.full(size):
            text = "*"
        else:
            text = f"{self.low}..{self.high}" + (f"/{self.step}" if self.step != 1 else "")
        return text if modulus == size else f"{text}%{modulus}"


DIAGONAL = Offsets(0, 0)
