"""No layer imports upward, and the command line starts without heavy libraries."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fpbench
import fpbench_methods
from fpbench import registry

LAYERS = (
    {"cli", "library", "__main__", "__init__"},
    {"leaderboard", "attribution"},
    {"runs"},
    {"conformance", "datasets", "zoo", "plots", "registry"},
    {"scores"},
    {"metrics", "compute"},
    {"method", "images"},
    {"errors", "files", "documents", "distribution", "hub", "parameters", "version"},
)
"""Rooms of fpbench from top to bottom; a room imports its own layer and those below."""

ALLOWED_TO_METHODS = {"method", "images", "errors", "distribution", "hub", "compute"}
HEAVY = ("torch", "timm", "datasets", "sklearn", "scipy", "faiss", "matplotlib", "pandas")


def modules(package: object) -> Iterator[tuple[Path, Path]]:
    root = Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    for path in sorted(root.rglob("*.py")):
        yield path, path.relative_to(root)


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from fpbench import registry` imports the room registry.
            names = (
                [f"fpbench.{alias.name}" for alias in node.names]
                if node.module == "fpbench"
                else [node.module]
            )
        for name in names:
            if name.startswith("fpbench."):
                yield name.split(".")[1]


def layer_of(room: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


def test_no_layer_imports_upward() -> None:
    upward = []
    for path, relative in modules(fpbench):
        room = relative.parts[0].removesuffix(".py")
        for imported in imported_rooms(path):
            if imported.startswith("__"):
                continue
            if layer_of(imported) < layer_of(room):
                upward.append(f"{relative} imports fpbench.{imported}")
    assert upward == []


def test_rooms_of_one_layer_do_not_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for path, relative in modules(fpbench):
        room = relative.parts[0].removesuffix(".py")
        same = {r for r in imported_rooms(path) if r in LAYERS[layer_of(room)] and r != room}
        edges.setdefault(room, set()).update(same)

    assert circles(edges) == []


def imported_files(path: Path, known: set[str]) -> Iterator[str]:
    """Modules that a file imports when it is run, at its top or within a function."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from visit(other)
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                # `from fpbench.datasets import hub` imports the file hub.
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")))


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Names from which a path leads back to themselves."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(edges[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += edges[name]
        return seen

    return sorted(name for name in edges if name in reachable(name))


def test_files_do_not_import_each_other_in_a_circle() -> None:
    files = {
        ".".join((package.__name__, *relative.with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for package in (fpbench, fpbench_methods)
        for path, relative in modules(package)
    }
    known = set(files)
    edges = {
        name: known & set(imported_files(path, known)) - {name} for name, path in files.items()
    }
    assert len(edges["fpbench.datasets.resolve"]) > 5
    assert circles(edges) == []


def test_a_circle_of_files_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def late():\n    from p.b import x\n")
    (tmp_path / "b.py").write_text("from p import c\n")
    (tmp_path / "c.py").write_text("import p.a\n")
    typing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p import a\n"
    (tmp_path / "d.py").write_text(typing)
    known = {"p.a", "p.b", "p.c", "p.d"}
    edges = {
        name: known & set(imported_files(tmp_path / f"{name[2:]}.py", known)) for name in known
    }
    assert circles(edges) == ["p.a", "p.b", "p.c"]


def test_every_module_of_methods_is_a_method_or_shared() -> None:
    root = Path(fpbench_methods.__file__).parent
    found = {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()}
    methods = {name.replace("-", "_") for name in registry.method_names()}
    assert found - {"__init__", "__pycache__"} == methods | {"bases", "nn"}


def test_methods_import_only_what_a_stranger_may() -> None:
    outside = [
        f"{relative} imports fpbench.{room}"
        for path, relative in modules(fpbench_methods)
        for room in imported_rooms(path)
        if room not in ALLOWED_TO_METHODS
    ]
    assert outside == []


def test_metrics_know_no_torch_and_no_files() -> None:
    forbidden = {"torch", "pathlib", "os", "io", "fpbench_methods"}
    found = []
    for path, relative in modules(fpbench):
        if relative.parts[0] != "metrics":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            found += [f"{relative}: {n}" for n in names if n.split(".")[0] in forbidden]
    assert found == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["methods", "list"], ["methods", "show", "prnu"], ["data", "list"]]
)
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from fpbench.cli.main import entry\n"
        "try:\n"
        f"    entry({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
