"""A sound method passes every check, and each check catches the fault that it is there for."""

import io
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fpbench.conformance import CHECKS, CheckResult, check_method, checks_for
from fpbench.conformance.runner import run_check
from fpbench.conformance.subject import Subject
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodCard, MethodDeclined, Range, Variant

CARD = MethodCard(
    name="sound", title="A sound method", authors="Nobody", year=2026, citation="@misc{x}",
    licence="MIT", version="1", variants={"default": Variant("tiles")}, min_size=8,
)  # fmt: skip


def tiles(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean deviation from the neighbours by position in 8x8 tiles, unit length: (N, 192)."""
    x = pixels.astype(np.float32)
    around = sum(np.roll(x, s, axis) for axis in (1, 2) for s in (-1, 1)) / np.float32(4)
    n, h, w, c = x.shape
    kept = (x - around)[:, : h // 8 * 8, : w // 8 * 8].reshape(n, h // 8, 8, w // 8, 8, c)
    flat = kept.mean(axis=(1, 3)).reshape(n, -1)
    unit: NDArray[np.float32] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return unit


class Sound(Method):
    """Correlates an image's tile with the mean tiles of the sources."""

    card: ClassVar[MethodCard] = CARD

    def __init__(self) -> None:
        self.means: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> Self:
        found = self.embed(train)
        self.means = np.stack([
            found[train.labels == k].mean(axis=0) if (train.labels == k).any()
            else np.zeros(found.shape[1], np.float32)
            for k in range(len(train.sources))
        ])  # fmt: skip
        context.progress("fit", 1, 1)
        return self

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        return np.concatenate([tiles(batch) for batch in images.batches(64)])

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        scores = np.exp(20 * self.embed(images) @ self.means.T)
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)

    def embed_bags(
        self, images: ImageSet, bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        found = self.embed(images)
        return np.stack([found[bag].max(axis=0) for bag in bags])

    def unknown_score(self, images: ImageSet) -> NDArray[np.float32]:
        return 1 - (self.embed(images) @ self.means.T).max(axis=1)

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        return images.pixels - np.roll(images.pixels, 1, 1).astype(np.float32)

    def save(self, folder: Path) -> None:
        save_file({"means": self.means}, folder / "means.safetensors")
        (folder / "about.json").write_text(json.dumps({"method": "sound"}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        method = cls()
        method.means = load_file(folder / "means.safetensors")["means"]
        return method


def test_a_sound_method_passes_every_check() -> None:
    results = check_method(Sound)
    assert [r.name for r in results] == [check.name for check in CHECKS]
    assert [r for r in results if r.status != "passed"] == []


class NoTitle(Sound):
    card = replace(CARD, title=" ")


class FalseVariant(Sound):
    card = replace(CARD, variants={"default": Variant("x", {"strength": 3})})


class FalseDefault(Sound):
    def __init__(self, *, rate: Annotated[float, Range(0, 1)] = 2) -> None:
        super().__init__()


class VariantOutOfRange(Sound):
    card = replace(CARD, variants={"default": Variant("x", {"rate": 3})})

    def __init__(self, *, rate: Annotated[float, Range(0, 1)] = 0.5) -> None:
        super().__init__()


class NoClass(Sound):
    card = replace(CARD, variants={"default": Variant("x", cls=print)})  # type: ignore[arg-type]


class WritesPixels(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        train.pixels[0] = 0
        return super().fit(train, **sets)


class WritesLabels(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        train.labels.setflags(write=True)
        train.labels[:5] = 1
        return super().fit(train, **sets)


class FitRaises(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


class ReturnsNone(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        super().fit(train, **sets)
        return None  # type: ignore[return-value]


class DoublePrecision(Sound):
    def embed(self, images: ImageSet) -> Any:
        return super().embed(images).astype(np.float64)


class FlatEmbedding(Sound):
    def embed(self, images: ImageSet) -> Any:
        return super().embed(images)[:, 0]


class NotFinite(Sound):
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        found = super().embed(images)
        found[::3, 0] = np.nan
        return found


class Logits(Sound):
    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        return 2 * super().predict_proba(images)


class OneColumnShort(Sound):
    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        return super().predict_proba(images)[:, :-1]


class FirstOfBag(Sound):
    def embed_bags(self, images: ImageSet, bags: Sequence[Any]) -> NDArray[np.float32]:
        return self.embed(images)[[bag[0] for bag in bags]]


class UnknownColumn(Sound):
    def unknown_score(self, images: ImageSet) -> NDArray[np.float32]:
        return super().unknown_score(images)[:, None]


class KnowsAll(Sound):
    def unknown_score(self, images: ImageSet) -> NDArray[np.float32]:
        return np.zeros(len(images), np.float32)


class RanksAmongOthers(Sound):
    def unknown_score(self, images: ImageSet) -> NDArray[np.float32]:
        return super().unknown_score(images).argsort().argsort().astype(np.float32)


class GreyResidual(Sound):
    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        return super().residual(images).mean(axis=3)


class ReadsLabels(Sound):
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        found = super().embed(images)
        if len(images) and images.labelled:
            found[:, 0] = images.labels
        return found


class ReadsLabelsAnyway(Sound):
    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        return np.eye(7, dtype=np.float32)[images.labels]


class ReadsIds(Sound):
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        found = super().embed(images)
        found[:, 0] = [len(name) for name in images.ids]
        return found


class BatchStatistics(Sound):
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        found = super().embed(images)
        return found - found.mean(axis=0)


class RememberedBatchStatistics(BatchStatistics):
    """The first answer is kept, so a second look at the same images would tell nothing."""

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        from fpbench.compute.shared import SHARED

        found = super().embed(images)
        return SHARED.rows("remembered", images.pixels, lambda pixels: found[: len(pixels)])


class Running(Sound):
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        return super().embed(images) + np.arange(len(images), dtype=np.float32)[:, None]


class ForgetsToSave(Sound):
    @classmethod
    def load(cls, folder: Path) -> Self:
        method = super().load(folder)
        method.means = np.zeros_like(method.means)
        return method


class SaveOnly(Method):
    card = CARD
    fit, embed = Sound.fit, Sound.embed  # type: ignore[assignment]

    def save(self, folder: Path) -> None:
        (folder / "about.json").write_text("{}")


class RemembersThePath(Sound):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "about.json").write_text(json.dumps(str(folder)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return super().load(Path(json.loads((folder / "about.json").read_text())))


class Pickles(Sound):
    def save(self, folder: Path) -> None:
        super().save(folder)
        # What pickle.dumps(None) gives; the name does not tell.
        (folder / "state.bin").write_bytes(b"\x80\x04N.")


class ArrayFile(Sound):
    def save(self, folder: Path) -> None:
        super().save(folder)
        np.save(folder / "means.npy", self.means)


class Unstoppable(Sound):
    def fit(self, train: ImageSet, *, context: FitContext, **sets: Any) -> Self:
        for step in range(3):
            try:
                context.progress("fit", step, 3)
            except BaseException:  # noqa: S112
                continue
        return super().fit(train, context=FitContext(), **sets)


class TranslatesInterruption(Sound):
    def fit(self, train: ImageSet, *, context: FitContext, **sets: Any) -> Self:
        try:
            context.progress("fit", 0, 1)
        except BaseException as error:
            raise RuntimeError("training failed") from error
        return super().fit(train, context=context, **sets)


class GlobalRandom(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        super().fit(train, **sets)
        self.means = self.means + np.random.normal(size=self.means.shape).astype(np.float32)
        return self


class SeedsMatterAfterAll(Sound):
    card = replace(CARD, variants={"default": Variant("tiles", deterministic=True)})

    def fit(self, train: ImageSet, *, context: FitContext, **sets: Any) -> Self:
        super().fit(train, context=context, **sets)
        noise = np.random.default_rng(context.seed).normal(size=self.means.shape)
        self.means = self.means + noise.astype(np.float32)
        return self


class WidensTorch(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        torch.set_default_dtype(torch.float64)
        return super().fit(train, **sets)


class SilencesWarnings(Sound):
    def __init__(self) -> None:
        super().__init__()
        warnings.simplefilter("ignore")


class SwitchesGradientsOff(Sound):
    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        torch.set_grad_enabled(False)
        return super().predict_proba(images)


class LeavesTheFolder(Sound):
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        if not images.labelled:
            os.chdir(Path.cwd().anchor)
        return super().embed(images)


class Reseeds(Sound):
    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        np.random.seed(0)
        return super().residual(images)


class ReplacesStdout(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        sys.stdout = io.StringIO()
        return super().fit(train, **sets)


class NeedsAsManyReferences(Sound):
    def fit(self, train: ImageSet, *, reference: ImageSet, **sets: Any) -> Self:
        _ = train.pixels[:64].astype(float) - reference.pixels
        return super().fit(train, reference=reference, **sets)


class PromisesTooMuch(Sound):
    card = replace(CARD, min_size=4)


class SquareOnly(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        _ = train.pixels.astype(float) @ np.ones((3, 3)) * np.eye(train.size[0])[:, :, None]
        return super().fit(train, **sets)


class NotOneClass(Sound):
    def fit(self, train: ImageSet, **sets: Any) -> Self:
        super().fit(train, **sets)
        self.means = np.stack([
            self.embed(train.select(train.labels == k)).mean(axis=0)
            for k in range(len(train.sources))
        ])  # fmt: skip
        return self


class AllAtOnce(Sound):
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        return tiles(images.pixels)[:, :8]


class KeepsItsFirstFit(Sound):
    first: ClassVar[NDArray[np.float32] | None] = None

    def fit(self, train: ImageSet, **sets: Any) -> Self:
        super().fit(train, **sets)
        if KeepsItsFirstFit.first is None:
            KeepsItsFirstFit.first = self.means
        self.means = KeepsItsFirstFit.first
        return self


class Blind(Sound):
    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        return np.full((len(images), len(self.means)), 1 / len(self.means), np.float32)


class ColumnsTurned(Sound):
    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        return np.roll(super().predict_proba(images), 1, axis=1)


FAULTS: list[tuple[type[Method], str, str]] = [
    (NoTitle, "card", "title is empty"),
    (FalseVariant, "card", "'strength', which the constructor does not take"),
    (FalseDefault, "card", r"the default sets rate=2, .*rate is a number from 0 to 1"),
    (VariantOutOfRange, "card", r"variant 'default' sets rate=3"),
    (NoClass, "card", "give a subclass of Method"),
    (WritesPixels, "inputs-untouched", "work on a copy"),
    (WritesLabels, "inputs-untouched", "train set is changed"),
    (FitRaises, "fit", "mat1 and mat2 shapes"),
    (ReturnsNone, "fit", "return self"),
    (DoublePrecision, "embeddings", r"\.astype\(np\.float32\)"),
    (FlatEmbedding, "embeddings", r"must be \(112, D\)"),
    (NotFinite, "embeddings", "NaN or infinity for 38 of 112"),
    (Logits, "probabilities", "apply a softmax"),
    (OneColumnShort, "probabilities", r"must be \(112, 7\)"),
    (FirstOfBag, "bags", "A bag is a set"),
    (UnknownColumn, "unknown-scores", r"must be \(112\)"),
    (KnowsAll, "unknown-scores", "or be left out"),
    (RanksAmongOthers, "batch-size", "unknown_score changes"),
    (GreyResidual, "residual", "residual returns shape"),
    (ReadsLabels, "test-labels", "labels of test images are read"),
    (ReadsLabelsAnyway, "test-labels", "predict_proba reads the labels"),
    (ReadsIds, "test-labels", "other ids"),
    (BatchStatistics, "batch-size", "take statistics in fit"),
    (RememberedBatchStatistics, "batch-size", "take statistics in fit"),
    (Running, "order", "in the order of the images given"),
    (ForgetsToSave, "save-load", "parameters included"),
    (SaveOnly, "save-load", "there is save but no load"),
    (RemembersThePath, "save-load", "inside the folder"),
    (Pickles, "no-pickle", "state.bin, a pickle"),
    (ArrayFile, "no-pickle", "means.npy, neither"),
    (Unstoppable, "cancellation", "goes on after a KeyboardInterrupt"),
    (TranslatesInterruption, "cancellation", "into RuntimeError"),
    (GlobalRandom, "seed", "Derive everything random"),
    (SeedsMatterAfterAll, "seed", "without deterministic=True"),
    (GlobalRandom, "global-state", r"NumPy's random state .*np\.random\.default_rng"),
    (WidensTorch, "global-state", r"after fit, torch's default dtype is torch\.float64 instead"),
    (SilencesWarnings, "global-state", r"filters of warnings .*catch_warnings"),
    (SwitchesGradientsOff, "global-state", r"after predict_proba, torch's grad .*torch\.no_grad"),
    (LeavesTheFolder, "global-state", "after embed, the working directory is"),
    (Reseeds, "global-state", "after residual, NumPy's random state"),
    (ReplacesStdout, "global-state", r"sys\.stdout is StringIO .*redirect_stdout"),
    (NeedsAsManyReferences, "reference", "of any number"),
    (PromisesTooMuch, "tiny", r"raise card\.min_size"),
    (SquareOnly, "odd-size", "images of 33x29"),
    (NotOneClass, "one-class", "one source of 7"),
    (AllAtOnce, "memory", r"images\.batches"),
    (KeepsItsFirstFit, "null-control", "Keep nothing between fits"),
    (Blind, "planted", "clearly above chance"),
    (ColumnsTurned, "planted", r"columns follow train\.sources"),
]


def one_check(cls: type[Method], name: str, **limits: Any) -> CheckResult:
    check = next(check for check in CHECKS if check.name == name)
    return run_check(check, Subject(cls, cls.card.default_variant), **limits)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("cls", "check", "told"), FAULTS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_fault_is_caught_by_its_check(cls: type[Method], check: str, told: str) -> None:
    if cls is KeepsItsFirstFit:
        Subject(cls, "default").fit()  # on true labels, as in a session of several runs
    result = one_check(cls, check)
    assert result.status == "failed", result
    assert re.search(told, result.message), result.message
    assert result.message.rstrip()[-1] in ".)", result.message


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {check for _, check, _ in FAULTS} == {check.name for check in CHECKS}


def test_a_clear_refusal_of_odd_sizes_is_no_fault() -> None:
    class Refuses(Sound):
        def fit(self, train: ImageSet, **sets: Any) -> Self:
            if train.size[0] != train.size[1]:
                raise ValueError(f"images of {train.size} are not square; crop them first")
            return super().fit(train, **sets)

    result = one_check(Refuses, "odd-size")
    assert result.status == "passed" and "crop them first" in result.message


def test_a_method_that_declines_is_skipped_with_its_reason() -> None:
    class Declines(Sound):
        def fit(self, train: ImageSet, **sets: Any) -> Self:
            raise MethodDeclined("no weights; run: hf download them")

    results = check_method(Declines)
    assert {r.status for r in results} == {"passed", "skipped"}
    assert [r.name for r in results if r.status == "passed"] == ["card"]
    for result in results[1:]:
        assert "hf download them" in result.message, result


def test_a_method_that_hangs_is_stopped() -> None:
    class Hangs(Sound):
        def embed(self, images: ImageSet) -> NDArray[np.float32]:
            while not images.labelled:
                try:
                    time.sleep(0.01)
                except Exception:  # noqa: S112  (the fault)
                    continue
            return super().embed(images)

    started = time.monotonic()
    result = one_check(Hangs, "embeddings", limit_s=2.0)
    assert result.status == "failed", result.message
    assert "no answer within 2 s" in result.message
    assert time.monotonic() - started < 120


def test_a_fit_that_hangs_is_stopped_once_and_not_waited_for_again() -> None:
    class Hangs(Sound):
        def fit(self, train: ImageSet, **rest: Any) -> Self:
            while True:
                time.sleep(0.01)

    subject = Subject(Hangs, CARD.default_variant)
    results = {
        name: run_check(next(c for c in CHECKS if c.name == name), subject, limit_s=2.0)
        for name in ("fit", "embeddings")
    }
    assert results["fit"].status == "failed"
    assert "no answer within 2 s" in results["fit"].message
    assert results["embeddings"].status == "skipped"


@pytest.mark.parametrize("member", ["__init__", "fit", "embed"])
@pytest.mark.parametrize("code", [0, None, 2])
def test_an_exit_is_a_failed_check(
    member: str, code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exits(Sound):
        pass

    def leave(self: Any, *args: Any, **named: Any) -> Any:
        if args and args[0].labelled and member == "embed":  # fit embeds, too
            return Sound.embed(self, args[0])
        sys.exit(code)

    monkeypatch.setattr(Exits, member, leave)
    results = {result.name: result for result in check_method(Exits, thorough=False)}
    told = results["embeddings" if member == "embed" else "fit"]
    assert told.status == "failed"
    assert f"ends the process by sys.exit({code!r})" in told.message
    assert results["card"].status == "passed"


def test_a_variants_class_is_the_one_that_is_checked() -> None:
    class Other(Sound):
        def embed(self, images: ImageSet) -> NDArray[np.float32]:
            return super().embed(images)[:, :5]

    class Owner(Sound):
        card = replace(CARD, variants={"default": Variant("d"), "other": Variant("o", cls=Other)})

    def dimensions(variant: str) -> str:
        results = check_method(Owner, variant, thorough=False)
        assert results[0].name == "card" and results[0].status == "passed", results[0].message
        return next(result.message for result in results if result.name == "embeddings")

    assert dimensions("default") == "192 dimensions" and dimensions("other") == "5 dimensions"


def test_an_interruption_by_the_user_is_not_swallowed() -> None:
    class Interrupted(Sound):
        def embed(self, images: ImageSet) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_method(Interrupted)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(KeyError, match="no variant 'other'"):
        check_method(Sound, "other")


def test_a_quick_pass_names_what_it_leaves_out() -> None:
    results = check_method(Sound, thorough=False)
    left_out = {r.name for r in results if r.status == "skipped"}
    assert left_out == {check.name for check in CHECKS if check.thorough}
    assert all("thorough" in r.message for r in results if r.status == "skipped")


@pytest.mark.parametrize("check", checks_for(Sound), ids=repr)
def test_checks_run_under_pytest(check: Callable[[], None]) -> None:
    check()


def test_a_failed_check_raises_its_sentence_under_pytest() -> None:
    (check,) = [c for c in checks_for(Logits) if c.name == "probabilities"]
    with pytest.raises(AssertionError, match="apply a softmax"):
        check()
