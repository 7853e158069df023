"""What MkDocs calls while it builds the site: pages that are written from the code, links that leave docs/."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from mkdocs.structure.files import File

from ntc.ir.ops import TENSOR_OPS
from tools.site import api_pages, error_pages, gallery, layer_pages

ROOT = Path(__file__).parents[2]
_BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.md"))
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


def on_config(config: Any) -> Any:
    """Adds the pages that are written from the code to the contents."""
    config.nav.append({"API": [{name: f"api/{name}.md"} for name in api_pages.MODULES]})
    (layers,) = (x["Layers"] for x in config.nav if "Layers" in x)
    layers += [{name: f"layers/{name}.md"} for name in sorted(TENSOR_OPS)]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Writes them."""
    mpl.use("Agg")
    for path in _BENCHMARKS:
        files.append(File.generated(config, f"benchmarks/{path.name}", content=path.read_text()))
        for picture in path.parent.glob("*.png"):
            if (
                f"({picture.name})" in path.read_text()
                and files.get_file_from_path(f"benchmarks/{picture.name}") is None
            ):
                files.append(File.generated(config, f"benchmarks/{picture.name}", content=picture.read_bytes()))
    files.append(File.generated(config, "errors.md", content=error_pages.page()))
    for source in (layer_pages, api_pages, gallery):
        for place, content in source.pages():
            files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files outside docs/ are links where the site has them, else the name of the file."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(found: re.Match[str]) -> str:
        text, target = found[1], found[2].partition("#")[0]
        place = posixpath.normpath(posixpath.join(folder, target))
        if not place.startswith("..") and not place.startswith("benchmarks/"):
            return found[0]
        inside = place.removeprefix("../")
        if files.get_file_from_path(inside) is not None:
            return f"[{text}]({posixpath.relpath(inside, folder or '.')})"
        return text if text.strip("`") == inside else f"{text} (`{inside}`)"

    return _LINK.sub(replaced, markdown)
