"""Repeats what once went wrong and prints a line each: ``python tests/robustness/examples.py``.

A line says what was tried, what fpbench said, and whether that is right; the exit code is 1 if
anything is not. Each has a test of its own kind elsewhere; this shows all of them in one place.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fpbench.cli.main import entry

HERE = Path(__file__).parent
RUN = ("run", "--budget", "smoke", "--device", "cpu", "--offline", "--no-figures")
Line = tuple[str, str, str, bool]


class Examples:
    """All examples, in a folder of their own.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = self.sources("images", "real", "model-a", "model-b")
        self.lines: list[Line] = []

    def sources(self, name: str, *sources: str, count: int = 60, size: int = 16) -> Path:
        """A folder of random images a source."""
        generator = np.random.default_rng(0)
        for number, source in enumerate(sources):
            (self.folder / name / source).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 100, (size, size, 3)) + 40 * number
                path = self.folder / name / source / f"{index:03}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
        return self.folder / name

    def call(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a call."""
        out, err = io.StringIO(), io.StringIO()
        code: object = None
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                entry(words)
            except SystemExit as end:
                code = end.code
        return int(str(code or 0)), out.getvalue(), err.getvalue()

    def refused(self, number: str, words: Sequence[str], *sentences: str, code: int = 2) -> None:
        """A call that must end with `code` and say each of `sentences`."""
        ended, out, err = self.call(*words)
        said = out + err
        right = ended == code and all(sentence in said for sentence in sentences)
        wrong = "Traceback" in said or "fault in fpbench" in said
        told = err.strip().splitlines()[-1] if err.strip() else out.strip()[-100:]
        shown = " ".join(words).replace(str(self.folder), "…")
        self.lines.append((number, f"fpbench {shown}", f"{ended}: {told}", right and not wrong))

    def seen(self, number: str, what: str, look: Callable[[], tuple[str, bool]]) -> None:
        """Something that is looked at otherwise."""
        said, right = look()
        self.lines.append((number, what, said, right))

    def run(self, *words: str, dataset: Path | str | None = None, out: str = "runs") -> list[str]:
        """The words of a quick run."""
        chosen = str(self.images if dataset is None else dataset)
        return [*RUN, "--dataset", chosen, "--out", str(self.folder / out), *words]

    def wrong_numbers(self) -> None:
        """Part A."""
        weights = self.folder / "w.safetensors"
        weights.write_bytes(b"first")

        def keys() -> tuple[str, bool]:
            from fpbench.runs.job import Side
            from fpbench.runs.plan import make_plan

            side = Side("x", "1", "0" * 64)
            found = []
            for content in (b"first", b"second"):
                weights.write_bytes(content)
                params = {"weights": str(weights)}
                found.append(make_plan(["wang"], [(side, side)], params=params)[0].key)
            return " and ".join(found), found[0] != found[1]

        self.seen("1", "wang --set weights=FILE with another file", keys)

        def digests() -> tuple[str, bool]:
            from fpbench.datasets.resolve import resolve
            from fpbench.registry import card_folders

            copy = self.folder / "copy"
            shutil.copytree(card_folders()["gm-mini"], copy)
            before = resolve(str(copy)).identity.digest
            text = (copy / "sources.yaml").read_text("utf-8")
            (copy / "sources.yaml").write_text(text.replace("GAN", "VAE", 1), encoding="utf-8")
            after = resolve(str(copy)).identity.digest
            return f"digest {before[:8]} became {after[:8]}", before != after

        self.seen("1", "another family in sources.yaml", digests)

        def distribution() -> tuple[str, bool]:
            from fpbench.distribution import NAME, install_command

            command = install_command("zoo")
            return command, NAME != "fpbench" and "'fpbench[" not in command

        self.seen("2", "what a message tells to install", distribution)
        plugin = self.folder / "exits.py"
        plugin.write_text("import sys\nsys.exit(0)\n")

        def exits() -> tuple[str, bool]:
            before = Path.cwd()
            os.chdir(self.folder)
            try:
                code, _, err = self.call("methods", "check", "exits:Method")
            finally:
                os.chdir(before)
            return f"{code}: {err.strip()}", code == 2 and "sys.exit" in err

        self.seen("3", "methods check of a module that calls sys.exit", exits)
        mine = self.folder / "mine"
        mine.mkdir()
        (mine / "README.md").write_text("mine")
        self.refused("4", ["data", "build", "gm-mini", "--out", str(mine)], str(mine))
        self.refused("4", ["data", "build", "gm-mini", "--out", ""], "is no path")
        self.seen(
            "4", "README.md of the user after that",
            lambda: ((mine / "README.md").read_text(), (mine / "README.md").read_text() == "mine"),
        )  # fmt: skip
        self.seen(
            "5", "OMP_WAIT_POLICY after import of the training room",
            lambda: _child("import fpbench.compute.threads, os; print(os.environ.get("
                           "'OMP_WAIT_POLICY'))", "PASSIVE"),
        )  # fmt: skip
        for setting in ("levels=four", "c=NaN", "c=Infinity", "bins=1e30", "camera=maybe"):
            name = {"levels": "nataraj", "c": "logdct", "bins": "durall", "camera": "prnu"}
            method = name[setting.partition("=")[0]]
            self.refused("6", self.run("--method", method, "--set", setting), "Error: ")
        self.refused("6", self.run("--method", "logdct", "--set", "c=1", "--set", "c=2"), "twice")
        deep = self.sources("deep", "real", "a")
        Image.fromarray(np.zeros((16, 16), np.uint16)).save(deep / "a" / "000.png")
        self.refused("7", self.run("--method", "pixels", dataset=deep), "000.png", code=1)

    def whole_or_named(self) -> None:
        """Part B."""
        self.refused(
            "11", self.run("--method", "nope", "--method", "majority", "--json"),
            "no method 'nope'", '"status": "done"', code=1,
        )  # fmt: skip
        same = self.sources("same", "real", "a")
        shutil.copytree(same / "a", same / "b")
        self.refused("12", self.run("--method", "majority", dataset=same), "same image", code=1)

        def bounds() -> tuple[str, bool]:
            from fpbench.errors import BadInput
            from fpbench.runs.record import parse_record
            from fpbench.runs.store import find_records

            path = next(find_records(self.folder / "runs"))
            said, taken = [], 0
            for place, value in (
                ("cost.fit_seconds", -1), ("created", "9999-01-01T00:00:00Z"),
                ("test.shortcut", 5.0), ("artifacts.predictions.size", -1),
                ("scores.accuracy.n", 10**18), ("setup.embedding_dimension", -3),
            ):  # fmt: skip
                document = json.loads(path.read_text("utf-8"))
                *parents, last = place.split(".")
                target = document
                for name in parents:
                    target = target[name]
                target[last] = value
                try:
                    parse_record(json.dumps(document), path)
                    taken += 1
                    said.append(f"takes {place}={value}")
                except BadInput as error:
                    said.append(str(error).split(": ", 1)[-1][:60])
            return "; ".join(said), taken == 0

        self.seen("13", "records that cannot be", bounds)

        def full() -> tuple[str, bool]:
            if not Path("/dev/full").exists():
                return "this system has no /dev/full", True
            return _child(
                "from pathlib import Path; from fpbench.files import told\n"
                "try:\n    with told(Path('x')):\n        f = open('/dev/full', 'w', 1); "
                "f.write('x' * 99999)\nexcept Exception as e: print(type(e).__name__, e)",
                "No space left on device. Free space there, or choose another",
            )

        self.seen("14", "a full disk (test_full_disk.py fills a small one)", full)
        for option in ("--seeds", "--folds", "--workers", "--threads"):
            self.refused("15", self.run("--method", "pixels", option, "20000000"), "range")
        self.refused("15", ["ablate", "--method", "pixels", "--dataset", str(self.images),
                            "--vary", "train-images", "--values", "99999999"], "Error")  # fmt: skip
        (self.folder / "record.json").symlink_to("/dev/zero")
        self.refused("15", ["verify", str(self.folder / "record.json")], "no plain file")
        pipe = self.sources("pipe", "real", "a")
        if hasattr(os, "mkfifo"):
            os.mkfifo(pipe / "a" / "x.png")
            self.refused("15", self.run("--method", "majority", dataset=pipe), "x.png")
        self.seen("16", "200 kills", lambda: ("see test_kills.py", True))
        large = self.sources("large", "real", "a", "b", size=32)
        words = self.run("--method", "wang", "--json", dataset=large)
        self.refused("17", words, "may not be asked", code=0)

    def smaller(self) -> None:
        """Part C."""
        self.seen(
            "18", "how a message calls a program that is not on the path",
            lambda: _child(
                "import sys; sys.argv = ['.venv/bin/fpbench']\n"
                "import os; os.environ['PATH'] = ''\n"
                "from fpbench.cli.called import as_called; print(as_called('`fpbench run`'))",
                "`.venv/bin/fpbench run`",
            ),
        )  # fmt: skip
        self.seen(
            "19", "methods show on a terminal of ASCII",
            lambda: _child(
                "from fpbench.cli.main import entry; entry(['methods', 'show', 'manifpt'])",
                "manifpt", PYTHONIOENCODING="ascii",
            ),
        )  # fmt: skip
        self.refused("19", self.run("--method", "majority", dataset="gm-mini:x"), "no settings")
        self.refused(
            "19", ["leaderboard", "publish", "--to", "datasets/a/b", "--root", str(self.folder)],
            "no Space",
        )  # fmt: skip
        self.refused("19", [*self.run("--method", "majority"), "--out", "~nouser/x"], "not here")
        self.refused("19", ["ablate", "--method", "pixels", "--dataset", str(self.images),
                            "--vary", "train-images", "--score", "nope"], "nope")  # fmt: skip
        self.refused("19", ["ablate", "--method", "pixels", "--dataset", str(self.images),
                            "--vary", "train-images", "--values", ""], "--values")  # fmt: skip
        self.refused("19", self.run("--method", "majority", dataset="x" * 300), "Error: ")
        loop = self.folder / "loop"
        loop.symlink_to(loop)
        self.refused("19", self.run("--method", "majority", dataset=loop), "Error: ")
        twice = self.sources("twice", "real", "Real", "a")
        self.refused("19", self.run("--method", "majority", dataset=twice), "Real")
        turned = self.sources("turned", "real", "a\u202eb", "c")
        self.seen("19", "U+202E in a source's name reaches no terminal",
                  lambda: _without(self.call(*self.run("--method", "majority", dataset=turned)),
                                   "\u202e"))  # fmt: skip
        self.refused("20", self.run("--method", "majority", "--again"), "running", code=0)
        figures = [word for word in self.run("--method", "majority") if word != "--no-figures"]
        self.refused("20", figures, "drawn from what is stored: confusion", code=0)


def _without(ended: tuple[int, str, str], letter: str) -> tuple[str, bool]:
    code, out, err = ended
    said = (err.strip() or out.strip()).splitlines()[-1][:120]
    return f"{code}: {said!r}", letter not in out + err


def _child(script: str, sentence: str, **environment: str) -> tuple[str, bool]:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | environment,
    )  # fmt: skip
    said = done.stdout + done.stderr
    return said.strip()[:120], sentence in said and "Traceback" not in said


def main() -> int:
    """Print a line each, and say whether all are right."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        examples = Examples(Path(folder))
        (Path(folder) / "here").mkdir()
        os.chdir(Path(folder) / "here")
        try:
            examples.wrong_numbers()
            examples.whole_or_named()
            examples.smaller()
        finally:
            os.chdir(before)
    for number, tried, said, right in examples.lines:
        print(f"{'ok ' if right else 'NOT'} {number:>3}  {tried[:150]}  ->  {said[:200]}")  # noqa: T201
    wrong = sum(not right for *_, right in examples.lines)
    print(f"{len(examples.lines)} examples, {wrong} not as they should be")  # noqa: T201
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
