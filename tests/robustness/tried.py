"""What an example is: something tried, what fpbench said, and whether that is right."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fpbench.cli.main import entry
from fpbench.errors import visible

RUN = ("run", "--budget", "smoke", "--device", "cpu", "--offline", "--no-figures")
Line = tuple[str, str, str, bool]

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Set by fpbench in this process, which a process of its own must do for itself."""


class Tried:
    """Examples that were tried, in a folder of their own.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = self.sources("images", "real", "model-a", "model-b")
        self.lines: list[Line] = []
        self.shown = 0

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
        try:
            said, right = look()
        except Exception as error:  # an example that cannot be tried is not right, the others are
            said, right = f"{type(error).__name__}: {error}", False
        self.lines.append((number, what, said, right))

    def show(self) -> None:
        """Print the examples that have not been printed."""
        for number, what, said, right in self.lines[self.shown :]:
            mark = "ok " if right else "NOT"
            text = visible(f"{mark} {number:>3}  {what[:150]}  ->  {said[:200]}")
            print(text.replace("\n", " "), flush=True)  # noqa: T201
        self.shown = len(self.lines)

    def run(self, *words: str, dataset: Path | str | None = None, out: str = "runs") -> list[str]:
        """The words of a quick run."""
        chosen = str(self.images if dataset is None else dataset)
        return [*RUN, "--dataset", chosen, "--out", str(self.folder / out), *words]


def without(ended: tuple[int, str, str], letter: str) -> tuple[str, bool]:
    code, out, err = ended
    said = (err.strip() or out.strip()).splitlines()[-1][:120]
    return f"{code}: {said!r}", letter not in out + err


def child(
    script: str, sentence: str, *, code: int = 0, only_json: bool = False, **environment: str
) -> tuple[str, bool]:
    """What a script says in a process of its own, and whether it ends and says as it must."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k not in _WAITING} | environment,
    )  # fmt: skip
    said = done.stdout + done.stderr
    right = sentence in said and "Traceback" not in said and done.returncode == code
    if only_json:
        try:
            json.loads(done.stdout)
        except ValueError:
            right = False
    at = max(0, said.find(sentence))
    return said[at : at + 120].strip(), right


def refusal(do: Callable[[], object], sentence: str) -> tuple[str, bool]:
    """What is said when something must be refused, and whether it is said."""
    from fpbench.errors import BadInput
    from fpbench.method import MethodDeclined

    try:
        do()
    except (BadInput, MethodDeclined, OSError) as error:
        return str(error)[:120], sentence in str(error)
    return "it was taken", False
