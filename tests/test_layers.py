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
    {"cli", "__main__"},
    {"leaderboard", "attribution"},
    {"runs"},
    {"conformance", "datasets", "zoo", "plots", "registry"},
    {"scores"},
    {"metrics", "compute"},
    {"method", "images", "parameters"},
    {"errors", "files", "documents", "__init__"},
)
"""Rooms of fpbench from top to bottom; a room imports its own layer and those below."""

ALLOWED_TO_METHODS = {"method", "images", "errors", "compute"}
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

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(edges.get(start, ()))
        while todo:
            room = todo.pop()
            if room not in seen:
                seen.add(room)
                todo += edges.get(room, ())
        return seen

    assert [room for room in edges if room in reachable(room)] == []


def imported_files(path: Path, root: Path) -> set[Path]:
    """Files of the package at `root` that a file of it imports, at whatever place and time.

    A package stands for its ``__init__.py``, unless what is imported from it is a file.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            where = root.parent.joinpath(*name.split("."))
            for file in (where.with_suffix(".py"), where / "__init__.py"):
                if file.is_file() and file.is_relative_to(root):
                    found.add(file)
    return found


def circle(edges: dict[Path, set[Path]]) -> list[Path]:
    """Files that import each other in a circle, if there is one."""
    remaining = dict(edges)
    while leaves := {f for f, targets in remaining.items() if not targets & remaining.keys()}:
        remaining = {f: targets for f, targets in remaining.items() if f not in leaves}
    walk: list[Path] = []
    file = next(iter(remaining), None)
    while file is not None:
        if file in walk:
            return walk[walk.index(file) :]
        walk.append(file)
        file = min(remaining[file] & remaining.keys())
    return []


def test_a_circle_is_found() -> None:
    a, b, c, d = (Path(name) for name in "abcd")
    assert circle({a: {b}, b: {c}, c: set(), d: {a, c}}) == []
    assert sorted(circle({d: {a}, a: {b}, b: {c}, c: {a}})) == [a, b, c]
    assert circle({a: {a}, b: set()}) == [a]


@pytest.mark.parametrize("package", [fpbench_methods])
def test_no_file_imports_itself_through_others(package: object) -> None:
    root = Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    edges = {path: imported_files(path, root) for path, _ in modules(package)}
    assert sum(map(len, edges.values())) > len(edges), "imports are not seen"
    assert [str(file.relative_to(root)) for file in circle(edges)] == []


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
