"""The command line: files, exit status, stdout and stderr."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import ntc
from ntc import predict
from ntc.artifact import load
from ntc.compiler import build
from ntc.frontend.elaborate import load_graph
from ntc.ir.json import from_json
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.passes.pipeline import OPTIMIZE
from tests.command_line import run, run_process

MODEL = """\
# A small network.
model small(width = 8) =
  input(4, 4, 1)
  |> conv(width, 3, w_std = 1.4, b_std = 0.1) |> relu
  |> avg_pool(2)
  |> sum(conv(width, 3), identity |> dense(width))
  |> relu |> flatten |> dense(1)
"""
KERNEL_GRAPH = "kernel @k(%x1: f32[N,2]) -> (nngp: %k) { %k = gram(%x1, %x1) : f32 cov[N,N] }"
RANDOM = np.random.default_rng(0)
X1, X2 = RANDOM.normal(size=(6, 4, 4, 1)), RANDOM.normal(size=(4, 4, 4, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, inputs, a classification and a regression data set."""
    path = tmp_path_factory.mktemp("cli")
    (path / "small.nt").write_text(MODEL)
    np.save(path / "x1.npy", X1)
    np.save(path / "x2.npy", X2)
    np.savez(path / "classes_train.npz", x=X1, y=np.array([0, 1, 2, 0, 1, 2]))
    np.savez(path / "classes_test.npz", x=X2, y=np.array([0, 1, 2, 1]))
    np.savez(path / "values_train.npz", x=X1, y=X1.sum((1, 2, 3)) + 10)
    np.savez(path / "values_test.npz", x=X2, y=X2.sum((1, 2, 3)) + 10)
    np.savez(path / "unlabelled.npz", x=X2)
    np.savez(path / "several.npz", a=X2, b=X2)
    run(path, "compile small.nt -o small.ntc")
    run(path, "compile small.nt -o tpu.ntc --target tpu --kernel nngp")
    return path


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return dict(archive)


def test_kernel_of_model_and_artifact_are_equal_bits(folder: Path) -> None:
    """Protects `ntc kernel`, and that an artifact stands for its model everywhere to the last bit."""
    shown = run(folder, "kernel small.nt --x1 x1.npy --x2 x2.npy -o a.npz --json").stdout
    assert json.loads(shown)["shapes"] == {"nngp": [6, 4], "ntk": [6, 4]}
    run_process(folder, "kernel small.ntc --x1 x1.npy --x2 x2.npy -o b.npz")
    run(folder, "kernel small.ntc --x1 x1.npy --x2 x2.npy -o c.npz --trust")
    in_python = vars(build(load_graph(folder / "small.nt"))(X1, X2))
    first, second, third = (arrays(folder / name) for name in ("a.npz", "b.npz", "c.npz"))
    for name in ("nngp", "ntk"):
        assert np.array_equal(first[name], second[name])
        assert np.array_equal(first[name], in_python[name])
        np.testing.assert_allclose(third[name], first[name], rtol=1e-5)


def test_options_of_kernel(folder: Path) -> None:
    """Protects one kernel only, k(x, x), float64, parameters and the memory budget from the command line."""
    run(folder, "kernel small.ntc --x1 x1.npy --kernel nngp --dtype float32 -o e.npz")
    assert list(arrays(folder / "e.npz")) == ["nngp"]
    run(folder, "compile small.nt --kernel nngp -o nngp.ntc")
    run(folder, "kernel nngp.ntc --x1 x1.npy -o f.npz")
    assert list(arrays(folder / "f.npz")) == ["nngp"]
    run(folder, "kernel small.nt --x1 x1.npy --kernel ntk --dtype float64 -p width=3 -o d.npz")
    found = arrays(folder / "d.npz")
    assert list(found) == ["ntk"]
    graph = load_graph(folder / "small.nt", parameters={"width": "3"})
    assert np.array_equal(found["ntk"], build(graph, kernels=("ntk",), dtype="float64")(X1).ntk)
    run(folder, "kernel small.nt --x1 x1.npy --dtype float64 -p width=3 --memory 0.000001 -o g.npz")
    np.testing.assert_allclose(arrays(folder / "g.npz")["ntk"], found["ntk"], rtol=1e-10)


@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
def test_predict_classes(folder: Path, kernel: str) -> None:
    """Protects classification from files: integer labels, accuracy, results and a plot."""
    command = "predict small.nt --train classes_train.npz --test classes_test.npz -o p.npz --plot p.png --json"
    scores = json.loads(run(folder, f"{command} --kernel {kernel}").stdout)
    found = arrays(folder / "p.npz")
    assert found["mean"].shape == (4, 3)
    assert found["variance"].shape == (4,)
    assert scores["accuracy"] == np.mean(found["mean"].argmax(1) == [0, 1, 2, 1])
    assert (folder / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_predict_values(folder: Path) -> None:
    """Protects regression from files: an offset of the targets does not matter; rmse is that of the written means;
    labels of the test set are optional."""
    command = "predict small.ntc --train values_train.npz --diag-reg 1e-3"
    scores = json.loads(run(folder, f"{command} --test values_test.npz -o v.npz --json").stdout)
    mean = arrays(folder / "v.npz")["mean"]
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean((mean[:, 0] - X2.sum((1, 2, 3)) - 10) ** 2)))
    shown = run(folder, f"{command} --test unlabelled.npz -o w.npz").stdout
    assert "rmse" not in shown
    assert np.array_equal(arrays(folder / "w.npz")["mean"], mean)


def test_predict_fits_and_follows_training(folder: Path) -> None:
    """Protects --fit, --times and --plot-curve: evidence rises, the last time is the limit, the picture is one."""
    (folder / "hyper.nt").write_text("model m = input(4, 4, 1) |> flatten |> dense(4, w_std = hyper(0.5)) |> dense(1)")
    command = "predict hyper.nt --train values_train.npz --test values_test.npz --diag-reg 1e-2 -o t.npz --json"
    before = json.loads(run(folder, command).stdout)
    scores = json.loads(run(folder, f"{command} --fit --times 0,10,inf --plot-curve c.png").stdout)
    assert "hyper" not in before
    assert scores["hyper"]["w_std"] > 0.5
    found = arrays(folder / "t.npz")
    assert found["mean_at_times"].shape == (3, 4, 1)
    assert found["variance_at_times"].shape == (3, 4)
    np.testing.assert_allclose(found["mean_at_times"][2], found["mean"], rtol=1e-4)
    np.testing.assert_allclose(found["variance_at_times"][2], found["variance"], rtol=1e-3, atol=1e-5)
    assert scores["rmse_at_times"][2] == pytest.approx(scores["rmse"], rel=1e-3)
    assert (folder / "c.png").read_bytes()[:4] == b"\x89PNG"
    refused = run(folder, f"{command} --times 1,-2", status=2).stderr
    assert "--times should be numbers from 0" in refused


def test_compile_writes_every_stage(folder: Path) -> None:
    """Protects --emit: text that parses back to the same graphs, StableHLO for a platform that is not here."""
    graph = load_graph(folder / "small.nt")
    assert parse_graph(run(folder, "compile small.nt --emit tensor-ir").stdout) == graph
    text = run(folder, "compile small.nt --emit kernel-ir --between self").stdout
    assert parse_graph(text) == build(graph).graphs["self"]
    run(folder, "compile small.nt --target tpu --emit stablehlo -o small.mlir")
    assert "stablehlo.while" in (folder / "small.mlir").read_text()
    done = run(folder, "compile small.nt --target cuda --kernel nngp -o cuda.ntc --json")
    assert json.loads(done.stdout)["target"] == load(folder / "cuda.ntc").target == "cuda"


def test_passes_can_be_watched(folder: Path) -> None:
    """Protects --dump-ir-after, --verify, --time-passes, and that they write to stderr only."""
    done = run(folder, "compile small.nt --emit kernel-ir --dump-ir-after all --verify --time-passes")
    assert parse_graph(done.stdout)
    for name in ("translate", *(pass_.name for pass_ in OPTIMIZE)):
        assert f"// after {name}\n" in done.stderr
        assert f"ms  {name}\n" in done.stderr


@pytest.mark.parametrize("labels", [[True, False] * 3, [-1, 1] * 3])
def test_two_classes_are_classes(folder: Path, labels: list[int]) -> None:
    """Protects labels as scikit-learn's users have them: truth values, and -1 and +1, are scored as classes."""
    np.savez(folder / "binary.npz", x=X1, y=np.array(labels))
    shown = json.loads(run(folder, "predict small.nt --train binary.npz --test binary.npz --json").stdout)
    assert shown["accuracy"] == 1.0


def test_opt_runs_named_passes(folder: Path) -> None:
    """Protects `ntc opt`: text in, passes by name with options, text out."""
    text = run(folder, "compile small.nt --emit tensor-ir").stdout
    lowered = run(
        folder,
        "opt - --passes translate{between=self,dtype=f64},fold,cse,merge,dce,crop,split,track,distance,skew,lower_conv",
        stdin=text,
    ).stdout
    expected = build(load_graph(folder / "small.nt"), dtype="float64").graphs["self"]
    assert parse_graph(lowered) == expected


def test_show(folder: Path) -> None:
    """Protects `ntc show`: every layer once, branches under their join; graphviz and JSON of the same graph."""
    graph = load_graph(folder / "small.nt")
    tree = run(folder, "show small.nt").stdout
    for node in graph.nodes:
        assert tree.count(f" {node.name} ") == 1, tree
    assert "branch 1" in tree
    dot = run(folder, "show small.nt --dot").stdout
    assert dot.startswith('digraph "small" {')
    assert dot.count("->") == graph.networkx().number_of_edges()
    assert from_json(run(folder, "show small.ntc --json").stdout) == graph


def test_version_and_help(folder: Path) -> None:
    """Protects the entry point, as a process, its exit status, and that it starts without a warning; help names every
    command."""
    done = run_process(folder, "--version")
    assert done.stdout.strip() == ntc.__version__
    assert done.stderr == ""
    assert "No such command" in run_process(folder, "explode small.nt", status=2).stderr
    shown = run(folder, "--help").stdout
    for command in ("compile", "kernel", "predict", "show", "opt"):
        assert command in shown


USAGE: dict[str, str] = {
    "compile": "Missing argument",
    "explode small.nt": "No such command",
    "compile small.nt --target gpu -o a.ntc": "gpu",
    "compile small.nt": "say where to write it",
    "compile small.nt -o no/such/folder.ntc": "no/such",
    "compile small.nt -p width -o a.ntc": "expected name=value",
    "compile small.nt --emit kernel-ir --dump-ir-after fould": "expected all or one of",
    "kernel small.ntc --x1 x1.npy -o a.npz -p width=3": "is compiled",
    "kernel small.ntc --x1 x1.npy -o a.npz --dtype float64": "its --dtype is float32, not float64",
    "kernel small.ntc --x1 x1.npy -o a.npz --target tpu": "its --target is cpu, not tpu",
    "kernel tpu.ntc --x1 x1.npy -o a.npz --kernel ntk": "does not compute the ntk kernel",
    "kernel small.nt --x1 x1.npy -o .": ". is a folder",
    "kernel small.nt --x1 x1.npy -o no/such.npz": "there is no folder no",
    "show small.nt --html .": ". is a folder",
    "predict small.nt --train values_train.npz --test values_test.npz --plot p.xyz": "not drawn as .xyz",
    "predict small.nt --train values_train.npz --test values_test.npz --diag-reg -1": "a number from 0, or auto",
    "kernel small.nt --x1 x1.npy -o -": "not text",
    "show small.nt --json --dot": "give one of them",
    "opt net.ir --passes fold": 'hint: --passes "translate, fold"',
    "predict small.nt --train values_train.npz --test values_test.npz --plot-curve c.png": "needs --times",
}
"""Wrong command lines, and what is said of them."""

MISTAKES: dict[str, str] = {
    "compile missing.nt -o a.ntc": "missing.nt",
    "compile . -o a.ntc": "directory",
    "compile small.nt -p wdth=3 -o a.ntc": "did you mean `width`?",
    "compile small.nt -p width=0 -o a.ntc": "small.nt:4:11: error: conv: channels = 0",
    "compile small.nt --model big -o a.ntc": "big",
    "kernel small.nt --x1 x1.npy -o a.npz --target tpu": "finds no such device here",
    "kernel small.nt --x1 small.nt -o a.npz": "is not a NumPy file",
    "kernel small.nt --x1 several.npz -o a.npz": "expected one array, or x",
    "predict small.nt --train x1.npy --test classes_test.npz": "with x among its arrays",
    "predict small.nt --train unlabelled.npz --test classes_test.npz": "has no labels",
    "predict small.nt --train values_train.npz --test x2.npy": "x2.npy",
    "opt small.nt": "small.nt:1:1: error: ",
    "opt missing.ir": "missing.ir",
    "opt - --passes fould": "did you mean `fold`?",
    "show x1.npy": "x1.npy",
    "explain kernel.ir": "is a kernel graph, not a network",
    "kernel small.nt --x1 first.npy -o a.npz": "hint: channels come last: x.transpose(0, 2, 3, 1)",
    "kernel small.nt --x1 flat.npy -o a.npz": "hint: x.reshape(-1, 4, 4, 1)",
    "kernel small.nt --x1 x1.npy --mask1 x1.npy -o a.npz": "begin the network with the layer mask",
    "predict small.nt --train classes_train.npz --test classes_test.npz --label y": "no table",
}
"""Wrong models and data, and what is said of them."""


@pytest.mark.parametrize("command", [*USAGE, *MISTAKES])
def test_mistakes_are_one_message_and_a_status(folder: Path, command: str) -> None:
    """Protects users from tracebacks: what is wrong is said on stderr, stdout stays empty, the status is 2 where it is
    the command line, 1 where it is a model or data."""
    np.save(folder / "first.npy", X1.transpose(0, 3, 1, 2))
    np.save(folder / "flat.npy", X1.reshape(-1, 16))
    (folder / "net.ir").write_text(show(load_graph(folder / "small.nt")))
    (folder / "kernel.ir").write_text(KERNEL_GRAPH)
    done = run(folder, command, status=2 if command in USAGE else 1, stdin=KERNEL_GRAPH)
    assert (USAGE | MISTAKES)[command] in done.stderr
    assert done.stdout == ""
    assert not (folder / "a.ntc").exists()


def test_a_second_call_does_not_compile_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the time of commands: programs are kept in the user's cache directory, where it can be written."""
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "net.nt").write_text("model net = input(3) |> dense(4) |> tanh |> dense(4) |> tanh |> dense(1)")
    np.save(tmp_path / "x.npy", np.eye(4, 3))
    kept = tmp_path / "cache" / "ntc" / "xla"
    run_process(tmp_path, "kernel net.nt --x1 x.npy -o first.npz")
    programs = sorted(path.name for path in kept.iterdir() if path.name.endswith("-cache"))
    assert programs
    run_process(tmp_path, "kernel net.nt --x1 x.npy -o second.npz")
    assert sorted(path.name for path in kept.iterdir() if path.name.endswith("-cache")) == programs
    first, second = (np.load(tmp_path / name) for name in ("first.npz", "second.npz"))
    assert np.array_equal(first["ntk"], second["ntk"])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    run_process(tmp_path, "kernel net.nt --x1 x.npy -o third.npz")


def test_standard_streams_are_files(folder: Path) -> None:
    """Protects pipes: `-` is a model, a network as IR or JSON; `compile --emit tensor-ir | ntc opt` is what
    `compile --emit kernel-ir` says; a text output to `-` is stdout."""
    network = run(folder, "compile - --emit tensor-ir", stdin=MODEL).stdout
    as_json = run(folder, "show - --json", stdin=network).stdout
    lowered = run(folder, "compile small.nt --emit kernel-ir -o -").stdout
    expected = re.sub(r" *//.*", "", lowered)  # without places in the model file
    assert run(folder, "compile - --emit kernel-ir", stdin=as_json).stdout == expected
    assert run(folder, "opt", stdin=network).stdout == expected
    assert run(folder, "opt -", stdin=as_json).stdout == expected
    assert run(folder, "show - --html -", stdin=network).stdout.startswith("<!doctype html>")
    assert "<stdin>:4:" in run(folder, "show - -p width=0", status=1, stdin=MODEL).stderr


def test_errors_are_json_where_results_are(folder: Path) -> None:
    """Protects programs that call `ntc`: with --json an error is one line of JSON on stderr, with its place."""
    data = json.loads(run(folder, "explain small.nt -p width=0 --json", status=1).stderr)
    assert data["error"]["kind"] == "ParameterError"
    assert (data["error"]["location"]["line"], data["status"]) == (4, 1)
    assert json.loads(run(folder, "kernel small.nt --json", status=2).stderr)["error"]["kind"] == "UsageError"


def test_a_defect_has_a_status_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects whoever watches for our mistakes: an exception that is not foreseen is status 70, and one line."""
    monkeypatch.setattr("ntc.cli.show.Console", None)
    shown = run(folder, "show small.nt", status=70).stderr
    assert shown.startswith("error: internal error: TypeError")
    assert "NTC_TRACEBACK=1" in shown


def test_the_list_of_commands_loads_nothing() -> None:
    """Protects the time of `ntc --version` and `ntc --help`: commands are imported when they are used."""
    code = (
        "import sys, ntc.cli.main\nsys.argv = ['ntc', '--help']\nassert ntc.cli.main.run() == 0\n"
        "print({'numpy', 'scipy', 'jax', 'lark', 'pydantic', 'networkx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_ctrl_c_at_any_moment_is_no_traceback(folder: Path) -> None:
    """Protects whoever changes their mind within the first second, while modules are imported: the process ends."""
    interrupted = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
module = sys.argv[1]
sys.meta_path.insert(0, Interrupting())
sys.argv = ["ntc", "kernel", "small.nt", "--x1", "x1.npy", "-o", "never.npz", "-p", "width=3"]
from ntc.__main__ import main
main()
"""
    for module in ("typer", "numpy", "jax"):
        command = [sys.executable, "-c", interrupted, module]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        assert done.returncode in (130, -signal.SIGINT), done.stderr


def test_tables_are_data_sets(folder: Path) -> None:
    """Protects data as most have them: a .csv file with a header, classes with names, a column of labels by name."""
    (folder / "pairs.nt").write_text("model m = input(2) |> dense(8) |> relu |> dense(1)")
    rows = [f"{a},{b},{'even' if (a + b) % 2 == 0 else 'odd'}" for a in range(4) for b in range(4)]
    (folder / "train.csv").write_text("\n".join(["first,second,parity", *rows]))
    (folder / "test.csv").write_text("first,second\n0,1\n3,3\n")
    command = "predict pairs.nt --label parity --dtype float64 --diag-reg 1e-3 -o table.npz"
    assert json.loads(run(folder, f"{command} --train train.csv --test train.csv --json").stdout)["accuracy"] > 0.8
    run(folder, f"{command} --train train.csv --test test.csv")
    found = arrays(folder / "table.npz")
    assert list(found["predicted"]) == list(found["classes"][found["mean"].argmax(1)])
    assert list(found["classes"]) == ["even", "odd"]
    np.testing.assert_allclose(found["probabilities"].sum(1), 1)
    (folder / "turned.csv").write_text("second,first\n1,0\n3,3\n")
    run(folder, f"{command} --train train.csv --test turned.csv")
    np.testing.assert_array_equal(arrays(folder / "table.npz")["mean"], found["mean"])
    refused = run(folder, f"{command} --train turned.csv --test test.csv", status=1).stderr
    assert "turned.csv has no column parity" in refused
    (folder / "other.csv").write_text("first,third\n1,0\n")
    refused = run(folder, f"{command} --train train.csv --test other.csv", status=1).stderr
    assert "other.csv has no column second, which the first table has" in refused
    run(folder, "kernel pairs.nt --x1 test.csv --x2 turned.csv --kernel nngp -o k.npz")
    own = arrays(folder / "k.npz")["nngp"]
    np.testing.assert_allclose(own, own.T, rtol=1e-6)  # both hold the same examples
    (folder / "gap.csv").write_text("first,second\n0,1\n\n3,\n")
    assert (
        "gap.csv, line 4, column second: a value is missing"
        in run(folder, "kernel pairs.nt --x1 gap.csv -o k.npz", status=1).stderr
    )


def test_labels_of_other_types_are_the_same_classes(folder: Path) -> None:
    """Protects scores: labels as a column, as real numbers that are whole, and -1 and +1 are compared as classes."""
    np.savez(folder / "signs.npz", x=X1, y=np.array([-1, 1] * 3))
    np.savez(folder / "real.npz", x=X1, y=np.array([-1.0, 1.0] * 3)[:, None])
    scores = json.loads(run(folder, "predict small.nt --train signs.npz --test real.npz --json -o l.npz").stdout)
    assert scores["accuracy"] == 1
    assert 0 <= scores["log_loss"] < 0.7
    assert list(arrays(folder / "l.npz")["predicted"]) == [-1, 1] * 3
    np.savez(folder / "half.npz", x=X1, y=np.full(6, 0.5))
    assert "has fractions" in run(folder, "predict small.nt --train signs.npz --test half.npz", status=1).stderr


def test_masks_and_patterns_are_arrays(folder: Path) -> None:
    """Protects --mask1, --mask2, --pattern1, --pattern2: what is written is what the program gives."""
    (folder / "masked.nt").write_text(
        "model m = input(5, 2) |> mask(-7) |> dense(8) |> relu |> global_avg_pool |> dense(1)"
    )
    (folder / "graph.nt").write_text(
        "model m = input(5, 2) |> aggregate |> dense(8) |> relu |> global_avg_pool |> dense(1)"
    )
    random = np.random.default_rng(1)
    x1, x2 = random.normal(size=(3, 5, 2)), random.normal(size=(2, 5, 2))
    given = {"mask1": random.random((3, 5)) < 0.3, "mask2": random.random((2, 5)) < 0.3}
    given |= {"pattern1": random.random((3, 5, 5)), "pattern2": random.random((2, 5, 5))}
    for name, array in {"g1": x1, "g2": x2, **given}.items():
        np.save(folder / f"{name}.npy", array)
    for kind, model in (("mask", "masked.nt"), ("pattern", "graph.nt")):
        both = f"--{kind}1 {kind}1.npy --{kind}2 {kind}2.npy"
        run(folder, f"kernel {model} --x1 g1.npy --x2 g2.npy {both} -o given.npz")
        keywords = {name: given[name] for name in (f"{kind}1", f"{kind}2")}
        expected = build(load_graph(folder / model))(x1, x2, **keywords)
        assert np.array_equal(arrays(folder / "given.npz")["ntk"], expected.ntk)


def test_the_regularisation_is_chosen(folder: Path) -> None:
    """Protects --diag-reg auto: what is used is said, is what the library chooses, and is fitted with --fit."""
    from ntc.predict import choose_diag_reg

    command = "predict small.nt --train values_train.npz --test values_test.npz --diag-reg auto --json -o r.npz"
    scores = json.loads(run(folder, command).stdout)
    values = X1.sum((1, 2, 3))
    kernel = build(load_graph(folder / "small.nt"), kernels="nngp")(X1).nngp
    assert scores["diag_reg"] == pytest.approx(choose_diag_reg(kernel, values - values.mean()).diag_reg)
    (folder / "hyper.nt").write_text("model m = input(4, 4, 1) |> flatten |> dense(4, w_std = hyper(0.5)) |> dense(1)")
    fitted = json.loads(run(folder, command.replace("small.nt", "hyper.nt") + " --fit").stdout)
    assert fitted["diag_reg"] != scores["diag_reg"]
    assert "w_std" in fitted["hyper"]


@pytest.mark.parametrize(
    ("scale", "inputs", "said"),
    [
        ("2", "x1.npy", "is not finite: affine (%dense"),
        ("0.2", "x1.npy", "is zero everywhere: at %dense"),
        ("1", "holes.npy", "examples 0 and 1 is not finite, as their numbers are not"),
    ],
)
def test_what_is_not_finite_is_written_only_if_allowed(folder: Path, scale: str, inputs: str, said: str) -> None:
    """Protects who reads the result later: kernels that overflow, vanish, or are of examples with holes are an error
    that names the layer; with --allow-nonfinite a note, and they are written."""
    (folder / "deep.nt").write_text(
        f"model m = input(4, 4, 1) |> flatten |> repeat(200, dense(8, w_std = {scale}) |> relu) |> dense(1)"
    )
    holes = X1.copy()
    holes[1, 0, 0, 0] = np.nan
    np.save(folder / "holes.npy", holes)
    command = f"kernel deep.nt --x1 {inputs} --kernel nngp -o deep.npz"
    shown = run(folder, command, status=1).stderr
    assert said in shown
    assert "--allow-nonfinite" in shown
    assert not (folder / "deep.npz").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(folder, f"{command} --allow-nonfinite")
    (folder / "deep.npz").unlink()


def test_predict_reads_patterns(folder: Path) -> None:
    """Protects graphs at the command line: arrays called pattern go with x, as `Examples` do in Python."""
    (folder / "net.nt").write_text("model m = input(3, 2) |> aggregate |> dense(8) |> relu |> flatten |> dense(1)")
    random = np.random.default_rng(4)
    sets = {name: (random.normal(size=(n, 3, 2)), random.random((n, 3, 3))) for name, n in (("a", 5), ("b", 2))}
    y = random.normal(size=5)
    np.savez(folder / "graphs.npz", x=sets["a"][0], pattern=sets["a"][1], y=y)
    np.savez(folder / "new.npz", x=sets["b"][0], pattern=sets["b"][1])
    command = "predict net.nt --train graphs.npz --test new.npz --diag-reg 1e-2 -o graphs_out.npz"
    run(folder, command)
    first, second = (predict.Examples(x, pattern=pattern) for x, pattern in sets.values())
    program = build(load_graph(folder / "net.nt"))
    law = predict.regress(program, first, (y - y.mean())[:, None], second, "nngp", 1e-2)
    np.testing.assert_allclose(arrays(folder / "graphs_out.npz")["mean"], law.mean + y.mean())
    assert "do not go with masks and patterns" in run(folder, f"{command} --times 1,2", status=2).stderr


def test_errors_are_coloured_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects reading: where it is, what is wrong and what would be right stand out; in files there are no colours."""
    terminal = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    monkeypatch.setattr("ntc.cli.main.stderr", terminal)
    run(folder, "show small.nt -p width=0", status=1)
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1;31msmall.nt:4:11: error:\x1b[0m conv: channels = 0" in shown
    monkeypatch.undo()
    assert "\x1b" not in run(folder, "show small.nt -p width=0", status=1).stderr


def test_many_classes_are_remarked_on(folder: Path) -> None:
    """Protects regression on whole numbers, which are read as classes: it is said, with what would make them values."""
    (folder / "one.nt").write_text("model m = input(1) |> dense(4) |> erf |> dense(1)")
    x = np.linspace(-1, 1, 30)[:, None]
    np.savez(folder / "whole.npz", x=x, y=np.arange(30))
    shown = run(folder, "predict one.nt --train whole.npz --test whole.npz --dtype float64 --diag-reg 1e-3 -o w.npz")
    assert "y has 30 classes in 30 examples; of values, write real numbers: 12.0" in shown.stderr
