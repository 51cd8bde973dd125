"""Layers of the package: a module imports from its own layer and from those below, never upward."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import bsqcodec

PACKAGE = Path(bsqcodec.__file__).parent

LAYERS = (
    "errors",
    "targets",
    "machine",
    "entropy",
    "format",
    "media",
    "options",
    "models",
    "encoder",
    "compare",
    "image",
    "video",
    "api",
    "api_video",
    "pillow",
    "imageio",
    "batch",
    "cli",
    "training",
)
"""From the lowest to the highest: the first part of a module's name behind `bsqcodec.`"""


def modules() -> Iterator[tuple[str, Path]]:
    """Names without `bsqcodec.`, and files, of all modules but the package's two front doors."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts not in (("__init__",), ("__main__",)):
            yield ".".join(part for part in parts if part != "__init__"), path


def imported(path: Path) -> Iterator[str]:
    """Modules and names of bsqcodec that a file imports anywhere, without `bsqcodec.`"""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            within = node.module.split(".")[0] == "bsqcodec"
            names = [f"{node.module}.{a.name}" for a in node.names] if within else []
        for name in names:
            if name.startswith("bsqcodec."):
                yield name.removeprefix("bsqcodec.")


def test_every_folder_and_file_has_a_layer() -> None:
    assert {name.split(".")[0] for name, _ in modules()} == set(LAYERS)


def test_imports_go_downward() -> None:
    known = {name for name, _ in modules()}
    upward = set()
    for name, path in modules():
        for found in imported(path):
            target = found if found in known else found.rpartition(".")[0]
            if target.split(".")[0] not in LAYERS:
                continue  # a name of the package itself, such as __version__
            if LAYERS.index(target.split(".")[0]) > LAYERS.index(name.split(".")[0]):
                upward.add((name, target))
    assert not upward


def test_a_decoder_of_pictures_needs_nothing_of_the_encoder() -> None:
    files = dict(modules())
    reached, todo = set(), ["image.decode_picture", "models.families"]
    while todo:
        name = todo.pop()
        if name in reached or name not in files:
            continue
        reached.add(name)
        for found in imported(files[name]):
            todo += [found, found.rpartition(".")[0]]
    assert {"models.transform.strips", "models.prior.walk"} < reached
    assert not {name for name in reached if name.split(".")[0] in ("encoder", "video", "batch")}


def test_nothing_is_imported_relative_to_its_place() -> None:
    for _, path in modules():
        tree = ast.parse(path.read_text())
        assert not any(isinstance(n, ast.ImportFrom) and n.level for n in ast.walk(tree)), path
