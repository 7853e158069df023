"""The page of `ntc show --html`: where rows stand, what it holds, and that it needs nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntc
from ntc import nn
from ntc.compiler import lower
from ntc.frontend.elaborate import load_graph
from ntc.picture import page
from ntc.picture.page import data
from ntc.picture.tracks import places
from ntc.price.rates import CORE
from tests.command_line import run
from tests.strategies import tensor_graphs, trials

EXAMPLES = Path(__file__).parents[1] / "examples"


@st.composite
def operands(draw: st.DrawFn) -> list[list[int]]:
    """What each of some rows reads, of the rows before it."""
    size = draw(st.integers(1, 12))
    return [draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else [] for i in range(size)]


@given(operands())
def test_tracks_do_not_collide(read: list[list[int]]) -> None:
    """Protects the picture: every value that is still to be read has a track to itself, from its row to its last
    reader, and lines run into the rows that read."""
    found = places(read)
    last = {x: i for i, row in enumerate(read) for x in row}
    for i, place in enumerate(found):
        alive = [x for x in range(i) if last.get(x, -1) > i]
        assert sorted(place.through) == sorted(found[x].track for x in alive)
        assert len(set(place.through)) == len(alive)
        assert place.track not in place.through
        assert set(place.read) == {found[x].track for x in read[i]}
        assert place.goes_on == (i in last)


class _Page(HTMLParser):
    """The addresses that a page names, its scripts, and the tags that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self._script = tag == "script"
        if self._script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, text: str) -> None:
        if self._script:
            self.scripts[-1] += text


def parsed(text: str) -> tuple[_Page, Any]:
    """The page and its data."""
    found = _Page()
    found.feed(text)
    return found, json.loads(found.scripts[0])


@pytest.mark.parametrize("name", ["digits_cnn", "wrn"])
def test_page_is_one_file_with_every_value(tmp_path: Path, name: str) -> None:
    """Protects `ntc show --html`: no address to load, every layer and kernel value once, shares that add up to one,
    and links between a layer and its kernel values in both directions."""
    run(tmp_path, f"show {EXAMPLES / name}.nt --html out.html")
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    found, held = parsed(text)
    assert found.addresses == []
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    graph = load_graph(EXAMPLES / f"{name}.nt")
    network, kernels = held["views"]
    assert [row["name"] for row in network["rows"]] == [value.name for value in graph.values]
    assert sorted(row["name"] for row in kernels["rows"]) == sorted(value.name for value in lower(graph).values)
    for view in (network, kernels):
        assert sum(row["share"] for row in view["rows"]) == pytest.approx(1)
    for i, row in enumerate(network["rows"]):
        assert all(kernels["rows"][x]["others"] == [i] for x in row["others"])


def test_repeated_blocks_are_folded() -> None:
    """Protects pages of deep networks: what repeats is one block, and a button for the others."""
    layer = nn.serial(nn.conv(4, 3), nn.relu())
    network = (nn.input(8, 3) >> nn.repeat(10, layer) >> nn.flatten() >> nn.dense(1)).graph()
    view, _ = data(network, lower(network), CORE)["views"]
    (fold,) = view["folds"]
    assert fold["size"] == 2
    assert fold["count"] >= 9
    names = [view["rows"][fold["first"] + i * fold["size"]]["call"] for i in range(fold["count"])]
    assert len(set(names)) == 1


def test_text_cannot_end_the_script(tmp_path: Path) -> None:
    """Protects pages from what stands in files: markup in them is text."""
    source = tmp_path / "m.nt"
    source.write_text("model m() = input(3) |> dense(1)  # </script><b>&amp;\n")
    network = load_graph(source)
    text = page(network, lower(network), CORE)
    assert "</script><b>" not in text
    _, held = parsed(text)
    assert "# </script><b>&amp;" in held["views"][0]["rows"][1]["source"]


@trials(10)
@given(tensor_graphs())
def test_every_network_has_a_page(network: Any) -> None:
    """Protects the page from layers whose kernel values it cannot place."""
    kernels = lower(network)
    _, held = parsed(page(network, kernels, CORE))
    assert all(row["others"] for row in held["views"][1]["rows"] if row["call"] != "input")


def test_one_output_at_a_time(tmp_path: Path) -> None:
    """Protects users from an option that is silently not heeded."""
    done = run(tmp_path, f"show {EXAMPLES / 'conv.nt'} --html out.html --json", status=2)
    assert "give one of them" in done.stderr


def test_notebooks_show_programs_graphs_and_kernels() -> None:
    """Protects notebooks: a program is its page, a graph its text, kernels a table."""
    program = ntc.build(nn.input(2) >> nn.dense(3) >> nn.output("features") >> nn.relu() >> nn.dense(1))
    shown = program._repr_html_()
    assert "&lt;Program @network nngp+ntk f32 on cpu&gt;" in shown
    assert shown.count("<iframe srcdoc=") == 1
    assert "%relu1" in program.network._repr_html_()
    table = program(np.eye(2))._repr_html_()
    assert "<td>ntk</td><td>(2, 2)</td><td>float32</td>" in table
    assert "<td>features.nngp</td>" in table
    assert "softmax" in ntc.build(nn.input(2) >> nn.dense(3) >> nn.softmax())._repr_html_()
