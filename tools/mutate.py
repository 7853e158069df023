"""Mutation testing: breaks one factor of the rules at a time in a copy of the checkout, and sees which test notices.

    python tools/mutate.py [--jobs 2] [--only WORD]

Prints a table in Markdown; the exit status is the number of mutations that survived.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("ntc", "tests", "examples", "pyproject.toml", "README.md")
TESTS = ("test_rules", "test_identities", "test_integrals", "test_programs", "test_monte_carlo", "test_golden")
"""In this order: those first that are quick and point at the rule."""


@dataclass(frozen=True)
class Mutation:
    """One edit. `old` must occur exactly once in the file."""

    file: str
    old: str
    new: str
    breaks: str


MUTATIONS = (
    Mutation(
        "ntc/ir/ops/dense.py",
        "return emit(Affine(self.w_std, self.bias_std), x.k)",
        "return emit(Affine(1.0, self.bias_std), x.k)",
        "dense: w_std^2 of the NNGP",
    ),
    Mutation(
        "ntc/ir/ops/dense.py",
        'emit(Affine(self.w_std), x.t, name="below")',
        'emit(Affine(), x.t, name="below")',
        "dense: w_std^2 of the NTK below",
    ),
    Mutation(
        "ntc/ir/ops/dense.py",
        'return emit(Add(), here, emit(Affine(self.w_std), x.t, name="below"))',
        "return here",
        "dense: the NTK below",
    ),
    Mutation(
        "ntc/ir/ops/dense.py",
        "return emit(Add(), here, emit(",
        "return emit(Add(), emit(",
        "dense: the NTK of the layer itself",
    ),
    Mutation(
        "ntc/ir/ops/dense.py",
        "sqrt(self.fan_in(x.type))",
        "float(self.fan_in(x.type))",
        "dense, standard: power of the fan-in",
    ),
    Mutation(
        "ntc/ir/ops/dense.py",
        "sqrt(self.fan_in(x.type)), float(self.bias)",
        "sqrt(self.fan_in(x.type)), 0.0",
        "dense, standard: NTK of the bias",
    ),
    Mutation(
        "ntc/ir/ops/conv.py",
        "scale = sqrt(self.fan_in(x.type))",
        "scale = sqrt(x.type.channels)",
        "conv, standard: filter taps in the fan-in",
    ),
    Mutation(
        "ntc/ir/ops/conv.py",
        "below = emit(self._window(x.type.spatial, self.w_std), x.t",
        "below = emit(self._window(x.type.spatial), x.t",
        "conv: w_std^2 of the NTK below",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "return self.b_std if self.bias else 0.0",
        "return self.b_std",
        "bias = false in the NNGP",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "scale = self.w_std / sqrt(self.fan_in(x))",
        "scale = self.w_std / self.fan_in(x)",
        "finite layers: scale of the weights",
    ),
    Mutation(
        "ntc/ir/ops/activation.py",
        'emit(DualDot(self), x.k, x.v1, x.v2, name="d")',
        'emit(Dual(self), x.k, x.v1, x.v2, name="d")',
        "nonlinearity: derivative in the NTK",
    ),
    Mutation(
        "ntc/ir/ops/activation.py",
        "return (b - a) ** 2 / (2 * pi) * (pi - theta) + a * b\n",
        "return (b - a) ** 2 / pi * (pi - theta) + a * b\n",
        "relu: factor of dual_dot",
    ),
    Mutation(
        "ntc/ir/ops/activation.py",
        "self.a**2 * s / np.sqrt(determinant)",
        "self.a**2 / np.sqrt(determinant)",
        "erf: factor of dual_dot",
    ),
    Mutation(
        "ntc/ir/ops/join.py",
        "others = (other.k for j, other",
        "others = (other.t for j, other",
        "product: terms of the NTK",
    ),
    Mutation(
        "ntc/ir/ops/join.py",
        "x.type.channels / total for x in xs",
        "1 / len(xs) for x in xs",
        "concat: weights by channels",
    ),
    Mutation(
        "ntc/ir/ops/shape.py",
        "size // 2 for size in spatial",
        "(size - 1) // 2 for size in spatial",
        "index: the center of an even image",
    ),
    Mutation(
        "ntc/ir/ops/shape.py",
        "Select(tuple(p % size for p",
        "Select(tuple(max(p, 0) for p",
        "index: positions from the end",
    ),
    Mutation(
        "ntc/ir/ops/shape.py",
        'emit(Reduce("trace"), xs[0].t)',
        'emit(Reduce("mean"), xs[0].t)',
        "flatten: trace, not mean, of the NTK",
    ),
    Mutation(
        "ntc/ir/ops/pool.py",
        'reduce: ClassVar[Reduce] = Reduce("sum")',
        'reduce: ClassVar[Reduce] = Reduce("mean")',
        "global_sum_pool: sum, not mean",
    ),
    Mutation(
        "ntc/ir/sliding.py",
        "= self.stride * np.arange(self.outputs)",
        "= np.arange(self.outputs)",
        "filters: stride",
    ),
    Mutation("ntc/ir/sliding.py", "self.dilation * tap", "tap", "filters: dilation"),
    Mutation(
        "ntc/ir/sliding.py",
        "return total // 2, total - total // 2",
        "return total - total // 2, total // 2",
        "filters: the side of the odd padding position",
    ),
    Mutation(
        "ntc/ir/sliding.py",
        "return read % self.size if",
        "return np.clip(read, 0, self.size - 1) if",
        "filters: circular padding",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "self.w_std**2 * k / self.taps + self.b_std**2",
        "self.w_std**2 * k + self.b_std**2",
        "window: division by the taps",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "self.w_std**2 * k / self.taps + self.b_std**2",
        "self.w_std**2 * k / self.taps",
        "window: b_std^2",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        'if self.reduction == "edge_mean":',
        'if self.reduction == "edges":',
        "avg_pool: normalisation at the edges",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        '1.0 if self.reduction == "sum" else float(axis.window)',
        "1.0",
        "avg_pool: division by the window",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "offsets.scaled(axis.stride).widened(axis.window)",
        "offsets.scaled(axis.stride)",
        "tracking: offsets below a pooling",
    ),
    Mutation(
        "ntc/backends/jax/emit.py",
        "op.w_std**2 / op.taps",
        "op.w_std**2",
        "jax, window: division by the taps",
    ),
    Mutation(
        "ntc/backends/jax/whole.py",
        "divisors = divisor[:, None] * divisor[np.minimum(target.partners, target.size - 1)]",
        "divisors = divisor[:, None] * np.ones(target.partners.shape)",
        "jax, window2: division at both images",
    ),
    Mutation(
        "ntc/backends/jax/emit.py",
        "jnp.where(row <= column, x, transposed)",
        "jnp.where(row <= column, x, x)",
        "jax, mirror: symmetry to the last bit",
    ),
    Mutation(
        "ntc/backends/jax/windows.py",
        'mode="wrap" if sliding.padding == "circular" else "constant"',
        'mode="constant"',
        "jax, filters: circular padding",
    ),
    Mutation(
        "ntc/backends/jax/windows.py",
        "        first = start + tap * sliding.dilation\n        term",
        "        first = start + tap\n        term",
        "jax, filters: dilation",
    ),
    Mutation(
        "ntc/backends/jax/duals/relu.py",
        "        cosine = jnp.where(same, 1, cosine)\n",
        "        pass\n",
        "jax, relu: correlation one on the diagonal",
    ),
    Mutation(
        "ntc/backends/jax/duals/relu.py",
        "return dual if a * b == 0 else dual + a * b * exact",
        "return dual",
        "jax, relu: term a b K of the dual",
    ),
    Mutation(
        "ntc/backends/jax/duals/relu.py",
        "return where(cosine < 0, acute, 0.5 - acute)",
        "return 0.5 - acute",
        "jax, relu: obtuse angles of the fast dual_dot",
    ),
    Mutation(
        "ntc/backends/jax/windows.py",
        "terms.append(term if mask is None else term * mask)",
        "terms.append(term)",
        "jax, filters: zeros outside the second image",
    ),
    Mutation(
        "ntc/backends/jax/emit.py",
        "same if scope.equal is None else same & scope.equal",
        "same",
        "jax, tiles of k(x, x): marks entries off the diagonal as well",
    ),
    Mutation(
        "ntc/schedule/rolling.py",
        "before[place] = own",
        "before[place] = other",
        "rolling: what the first block reads",
    ),
    Mutation(
        "ntc/passes/crop.py",
        "low = min(max(0, first), axis.size - 1)",
        "low = min(max(0, first + 1), axis.size - 1)",
        "crop: the first position read",
    ),
    Mutation(
        "ntc/passes/crop.py",
        "yield end - high",
        "yield 0",
        "crop: zeros after the image",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "scaled(axis.stride).widened(axis.window)",
        "scaled(axis.stride).widened(axis.window - 1)",
        "track: offsets below a pooling",
    ),
)


def apply(mutation: Mutation, copy: Path) -> None:
    """Makes the edit. Raises ValueError if its text is not there exactly once."""
    path = copy / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.file}: {text.count(mutation.old)} times: {mutation.old}")
    path.write_text(text.replace(mutation.old, mutation.new))


def copy_checkout(target: Path) -> None:
    """The files that the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target / name)


def killer(mutation: Mutation | None) -> str | None:
    """The first test that fails with the mutation, or None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_checkout(copy)
        if mutation:
            apply(mutation, copy)
        environment = {**os.environ, "PYTHONPATH": folder, "HYPOTHESIS_PROFILE": "mutate"}
        files = [f"tests/{name}.py" for name in TESTS]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    if not found:
        raise RuntimeError(f"pytest ended with exit status {done.returncode}:\n{done.stdout}{done.stderr}")
    return found.group(1)


def main() -> int:
    """Runs the mutations and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="mutations at a time")
    parser.add_argument("--only", default="", help="only mutations whose file or description has this word")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if options.only in f"{m.file} {m.breaks}"]
    if not options.only and (failed := killer(None)):
        parser.error(f"the tests fail without a mutation: {failed}")
    print("| mutation | file | killed by |\n|---|---|---|", flush=True)
    survived = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutation, test in zip(chosen, pool.map(killer, chosen), strict=True):
            survived += test is None
            print(f"| {mutation.breaks} | {mutation.file} | {test or '**survived**'} |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} killed")
    return survived


if __name__ == "__main__":
    sys.exit(main())
