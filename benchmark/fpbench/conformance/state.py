"""Seeds, saving and loading: a fitted method can be had again."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from fpbench.conformance.result import Fault, NotRun
from fpbench.conformance.subject import Subject, require_equal

_PICKLE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt")


def check_seed(subject: Subject) -> str:
    """Two fits from one seed agree, and from any two if the variant is declared deterministic."""
    expected = subject.known_answers()
    images = subject.sets.test.unlabelled()
    told = require_equal(
        expected,
        subject.answers(subject.fit(), images),
        "when fit is repeated with the same context.seed",
        "Derive everything random from context.seed, e.g. np.random.default_rng(context.seed) "
        "and torch.manual_seed inside fpbench.compute.device.seeded.",
    )
    if not subject.cls.card.variants[subject.variant].deterministic:
        return told
    require_equal(
        expected,
        subject.answers(subject.fit(seed=1), images),
        "when fit is repeated with another context.seed",
        f"Declare variant {subject.variant!r} without deterministic=True: its seeds matter.",
    )
    return f"{told}, with another seed too"


def _require_pair(subject: Subject) -> None:
    has = [name for name in ("save", "load") if subject.cls.implements(name)]
    if not has:
        raise NotRun("the method has neither save nor load")
    if len(has) == 1:
        other = "load" if has == ["save"] else "save"
        raise Fault(f"there is {has[0]} but no {other}; write both or neither.")


def check_save_load(subject: Subject) -> str:
    """A saved and loaded method answers as before, from wherever its folder lies."""
    _require_pair(subject)
    expected = subject.known_answers()
    with tempfile.TemporaryDirectory() as scratch:
        folder, moved = Path(scratch, "saved"), Path(scratch, "moved")
        folder.mkdir()
        subject.fitted.save(folder)
        shutil.move(folder, moved)
        try:
            loaded = subject.cls.load(moved)
        except Exception as error:
            raise Fault(
                f"load raises {type(error).__name__}: {error} on what save wrote (the folder was "
                "moved in between); keep everything that load needs inside the folder."
            ) from error
        if not isinstance(loaded, subject.cls):
            raise Fault(f"load returns {type(loaded).__name__}; return the method, built by cls().")
        found = subject.answers(loaded, subject.sets.test.unlabelled())
    return require_equal(
        expected,
        found,
        "after save and load",
        "Save everything that embed and predict_proba use, parameters included.",
    )


def check_no_pickle(subject: Subject) -> str:
    """`save` writes safetensors and JSON, which run no code when they are read."""
    _require_pair(subject)
    with tempfile.TemporaryDirectory() as scratch:
        subject.fitted.save(Path(scratch))
        files = sorted(path for path in Path(scratch).rglob("*") if path.is_file())
        if not files:
            raise Fault("save writes no file into the folder that it is given; write there.")
        for path in files:
            _require_plain(path)
        return ", ".join(path.name for path in files)


def _require_plain(path: Path) -> None:
    cure = "keep arrays in safetensors and the rest in JSON"
    head = path.read_bytes()[:2]
    if path.suffix in _PICKLE or (head[:1] == b"\x80" and head[1:] <= b"\x05"):
        raise Fault(f"save writes {path.name}, a pickle, which runs code when read; {cure}.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy"):
                return
        except SafetensorError as error:
            raise Fault(
                f"save writes {path.name}, which is no safetensors file; {cure}."
            ) from error
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Fault(f"save writes {path.name}, which is no JSON ({error}); {cure}.") from error
        return
    raise Fault(f"save writes {path.name}, neither safetensors nor JSON; {cure}.")
