"""What is measured beside Neural Tangents: one row of the table each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parent
EXAMPLES = ROOT.parent / "examples"


@dataclass(frozen=True)
class Case:
    """A network and its inputs.

    Attributes:
      title: in the table.
      file, model, parameters: the network for us.
      shape: of one example.
      n1, n2: numbers of examples; without n2, k(x1, x1).
      required, aim: time of the peer over ours.
      peer: whether the peer is measured as well.
      repeat: number of runs after the one that compiles.
      rounds: processes per side, in turn; the fastest counts.
    """

    title: str
    file: Path
    model: str
    shape: tuple[int, ...] = (32, 32, 3)
    n1: int = 4
    n2: int | None = 4
    required: float = 1.0
    aim: float = 1.0
    parameters: dict[str, str] = field(default_factory=dict)
    peer: bool = True
    repeat: int = 3
    rounds: int = 2

    def quick(self) -> Case:
        """The same network with at most two examples on each side, measured once: to see that it runs."""
        return replace(self, n1=min(self.n1, 2), n2=self.n2 and min(self.n2, 2), repeat=1, rounds=1)


_MODELS = ROOT / "models.nt"
_WRN, _MYRTLE = EXAMPLES / "wrn.nt", EXAMPLES / "myrtle.nt"

CASES: dict[str, Case] = {
    "cnn_global_pool": Case(
        "21 x (3x3 conv, ReLU), global average pool",
        _MODELS,
        "cnn_global_pool",
        required=60,
        aim=200,
        repeat=1,
        rounds=1,
    ),
    "wrn": Case("WRN-28", _WRN, "wrn", required=300, aim=2000, repeat=2),
    "cnn_pools": Case("4 conv, pool, 4 conv, pool, 2 conv, flatten", _MODELS, "cnn_pools", required=300, aim=1500),
    "myrtle5": Case("Myrtle-5", _MYRTLE, "myrtle5", required=25, aim=60),
    "myrtle10": Case("Myrtle-10", _MYRTLE, "myrtle10", required=40, aim=120),
    "cnn_flatten": Case(
        "21 x (conv, ReLU), flatten", _MODELS, "cnn_flatten", n1=32, n2=32, required=4, aim=12, repeat=5
    ),
    "fully_connected": Case(
        "5-layer fully connected", _MODELS, "fully_connected", (3072,), 1024, 1024, required=1, aim=1.5, repeat=8
    ),
    "fully_connected_self": Case(
        "the same, k(x, x)", _MODELS, "fully_connected", (3072,), 1024, None, required=1.7, aim=2.5, repeat=8
    ),
    "deep": Case(
        "84 x (conv, ReLU), global average pool",
        _MODELS,
        "cnn_global_pool",
        n1=2,
        n2=2,
        parameters={"depth": "84"},
        peer=False,
        repeat=1,
    ),
    "small": Case(
        "21 x (conv, ReLU), global average pool, 16x16",
        _MODELS,
        "cnn_global_pool",
        (16, 16, 3),
        parameters={"side": "16"},
        peer=False,
    ),
}
