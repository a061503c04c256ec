"""Part C of the examples: smaller ones."""

import os
from pathlib import Path

import numpy as np
from folders import write_card
from tried import Tried, child, without


def smaller(tried: Tried) -> None:
    """Part C."""
    tried.seen(
        "18", "how a message calls a program that is not on the path",
        lambda: child(
            "import sys; sys.argv = ['.venv/bin/fpbench']\n"
            "import os; os.environ['PATH'] = ''\n"
            "from fpbench.cli.called import as_called; print(as_called('`fpbench run`'))",
            "`.venv/bin/fpbench run`",
        ),
    )  # fmt: skip
    tried.seen(
        "19", "methods show on a terminal of ASCII",
        lambda: child(
            "from fpbench.cli.main import entry; entry(['methods', 'show', 'manifpt'])",
            "manifpt", PYTHONIOENCODING="ascii",
        ),
    )  # fmt: skip
    tried.refused("19", tried.run("--method", "majority", dataset="gm-mini:x"), "no settings")
    tried.refused(
        "19", ["leaderboard", "publish", "--to", "datasets/a/b", "--root", str(tried.folder)],
        "no Space",
    )  # fmt: skip
    tried.refused("19", [*tried.run("--method", "majority"), "--out", "~nouser/x"], "not here")
    tried.refused("19", ["ablate", "--method", "pixels", "--dataset", str(tried.images),
                        "--vary", "train-images", "--score", "nope"], "nope")  # fmt: skip
    tried.refused("19", ["ablate", "--method", "pixels", "--dataset", str(tried.images),
                        "--vary", "train-images", "--values", ""], "--values")  # fmt: skip
    tried.refused("19", tried.run("--method", "majority", dataset="x" * 300), "Error: ")
    loop = tried.folder / "loop"
    loop.symlink_to(loop)
    tried.refused("19", tried.run("--method", "majority", dataset=loop), "Error: ")
    twice = tried.sources("twice", "real", "Real", "a")
    tried.refused("19", tried.run("--method", "majority", dataset=twice), "Real")
    turned = tried.sources("turned", "real", "a\u202eb", "c")
    tried.seen("19", "U+202E in a source's name reaches no terminal",
              lambda: without(tried.call(*tried.run("--method", "majority", dataset=turned)),
                               "\u202e"))  # fmt: skip
    tried.refused("20", tried.run("--method", "majority", "--again"), "running", code=0)
    figures = [word for word in tried.run("--method", "majority") if word != "--no-figures"]
    tried.refused("20", figures, "drawn from what is stored: confusion", code=0)
    names_and_files(tried)
    jobs(tried)


def names_and_files(tried: Tried) -> None:
    """Examples 19 and 21."""
    few = tried.sources("few", "real", "a-model", count=3)
    tried.refused("19", tried.run("--method", "majority", dataset=few), "a-model")
    hidden = tried.sources("hidden", "real", "a", ".x")
    tried.refused("19", tried.run("--method", "majority", dataset=hidden), ".x")
    litter = tried.sources("litter", "real", "a")
    for name in ("thumbs.db", "desktop.ini", ".DS_Store"):
        (litter / "a" / name).write_bytes(b"x")
    tried.refused("19", [*tried.run("--method", "majority", "--json", dataset=litter)],
                  '"status": "done"', code=0)  # fmt: skip
    tried.refused("19", ["verify", "x" * 300], "File name too long")
    tried.refused("19", tried.run("--method", "majority", dataset="\udcff"), "Error: ")

    def modes() -> tuple[str, bool]:
        files = [p for p in (tried.folder / "runs").rglob("*") if p.is_file()]
        found = {oct(path.stat().st_mode & 0o777) for path in files}
        mask = os.umask(0)
        os.umask(mask)
        return str(found), found == {oct(0o666 & ~mask)} or os.name == "nt"

    tried.seen("19", "modes of a run's files", modes)

    def keys() -> tuple[str, bool]:
        card = write_card(tried.folder / "keyed")
        before = {
            name: (card / name).read_text("utf-8") for name in ("sources.yaml", "recipe.yaml")
        }
        (card / "sources.yaml").write_text(
            "no: {family: GAN, architecture: x}\n123: {family: GAN, architecture: x}\n"
        )
        named = before["recipe.yaml"].replace('"a":', "no:").replace('"b":', "123:")
        (card / "recipe.yaml").write_text(named, encoding="utf-8")
        code, out, err = tried.call("data", "show", str(card))
        for name, text in before.items():
            (card / name).write_text(text, encoding="utf-8")
        lines = [line.split()[0] for line in out.splitlines() if "GAN, x" in line]
        return ", ".join(lines) or err, code == 0 and lines == ["no", "123"]

    tried.seen("21", "keys no and 123 in sources.yaml", keys)

    def home() -> tuple[str, bool]:
        from fpbench.files import expanded

        found = expanded(Path("~/x"))
        return str(found).replace(str(Path.home()), "HOME"), found == Path.home() / "x"

    tried.seen("21", "path: ~/x", home)


def jobs(tried: Tried) -> None:
    """Examples 20 to 22."""
    from fpbench.runs.job import Side
    from fpbench.runs.plan import make_plan

    def default() -> tuple[str, bool]:
        side = Side("x", "1", "0" * 64)
        keys = {make_plan(["logdct"], [(side, side)], params=p)[0].key for p in ({}, {"c": 0.01})}
        return " ".join(keys), len(keys) == 1

    tried.seen("21", "logdct and logdct --set c=0.01, the default", default)

    def mapped() -> tuple[str, bool]:
        from fpbench.datasets import cache
        from fpbench.datasets.resolve import resolve
        from fpbench.runs.splits import splits_of

        before, cache.WORTH_A_FILE = cache.WORTH_A_FILE, 0
        try:
            pixels = splits_of(resolve(str(tried.images)).load(), 0, 5).train.pixels
        finally:
            cache.WORTH_A_FILE = before
        return type(pixels).__name__, isinstance(pixels, np.memmap)

    tried.seen("21", "images of a fold (tests/benchmarks/memory_of_folds.py)", mapped)

    def large() -> tuple[str, bool]:
        from fpbench.metrics.features import all_equal

        found = all_equal(1e30 * np.eye(2, dtype=np.float32))
        return f"all equal: {found}", not found

    tried.seen("21", "embeddings of 1e30", large)

    def code_changed() -> tuple[str, bool]:
        from fpbench import registry

        real, registry.code_hash = registry.code_hash, lambda cls: "0" * 64
        try:
            _, _, err = tried.call(*tried.run("--method", "majority"))
        finally:
            registry.code_hash = real
        return err.strip()[-110:], "has changed since, but not its version" in err

    tried.seen("20", "a plugin's code has changed without a new version", code_changed)
    tried.seen(
        "22", "a system without the module resource",
        lambda: child("import sys; sys.modules['resource'] = None\n"
                      "import fpbench.compute.device as d; print(d.peak_memory_bytes() >= 0)",
                      "True"),
    )  # fmt: skip

    def progress() -> tuple[str, bool]:
        code, _, err = tried.call(*tried.run("--method", "majority", out="shown"))
        first = err.strip().splitlines()[0]
        return first, code == 0 and bool(first)

    tried.seen("22", "the first line of a run", progress)
