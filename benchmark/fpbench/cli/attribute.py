"""``fpbench attribute``: which known source made an image, with a stated error, or none."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import FiniteRange, PathName
from fpbench.errors import visible

if TYPE_CHECKING:
    from fpbench.attribution.model import FittedModel
    from fpbench.attribution.report import Report
    from fpbench.attribution.verdict import BagVerdict, Verdict

_MOST_NAMED = 4
"""Sources of an undecided verdict that a line names."""


@click.command()
@click.argument("images", nargs=-1, required=True, type=PathName(), metavar="IMAGE|FOLDER…")
@click.option("--model", "folder", type=PathName(), required=True, metavar="MODEL",
              help="A model folder of `fpbench fit` or `fpbench run --save-model`.")  # fmt: skip
@click.option("--alpha", type=FiniteRange(0, 1, min_open=True, max_open=True), default=0.1,
              show_default=True, help="How often the true source may be left out.")  # fmt: skip
@click.option("--bag", is_flag=True, help="All images are of one source: one verdict on them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--report", type=PathName(), default=None, metavar="FILE.html",
              help="Also write a page that a person can read.")  # fmt: skip
def attribute(
    images: tuple[Path, ...],
    folder: Path,
    alpha: float,
    bag: bool,
    as_json: bool,
    report: Path | None,
) -> None:
    """Say which known source made each image: one, several that are possible, or none.

    Images of another size than the model's, and files that are no plain image, are named and not
    judged; the exit code is then 1, and 2 if nothing could be judged.
    """
    from fpbench.attribution.model import load_model

    model = load_model(folder)
    for note in model.notes:
        click.echo(f"note: {visible(note)}", err=True)
    with _page(report, model, alpha) as shown:
        judged, refused = (_bag if bag else _each)(images, model, alpha, as_json, shown)
    if report is not None and not as_json:
        click.echo(visible(f"report   {report}"))
    if refused and not judged:
        sys.exit(2)
    sys.exit(1 if refused else 0)


@contextmanager
def _page(path: Path | None, model: FittedModel, alpha: float) -> Iterator[Report | None]:
    """The report that is being made, or None; it is written if the block ends well."""
    if path is None:
        yield None
        return
    from fpbench.attribution.report import Report, refuse_report

    refuse_report(path)
    report = Report(model, alpha)
    yield report
    report.write(path)


def _each(
    images: tuple[Path, ...], model: FittedModel, alpha: float, as_json: bool, shown: Report | None
) -> tuple[int, int]:
    """Judge every image by itself; how many were judged, and how many were not."""
    from fpbench.attribution.judging import judge_stream
    from fpbench.attribution.verdict import promise

    kinds: Counter[str] = Counter()
    stream = judge_stream(images, model, alpha)
    printed = _JSON(model, alpha) if as_json else _Lines(model, len(images))
    for verdict, taken, _ in stream:
        kinds[verdict.kind] += 1
        if verdict.kind == "not judged":
            click.echo(f"Error: {visible(verdict.reason)}", err=True)
        printed.verdict(verdict)
        if shown is not None:
            shown.add(verdict, taken)
    printed.end(kinds, promise(model, alpha))
    refused = kinds.pop("not judged", 0)
    return sum(kinds.values()), refused


def _bag(
    images: tuple[Path, ...], model: FittedModel, alpha: float, as_json: bool, shown: Report | None
) -> tuple[int, int]:
    """Judge all images together."""
    from fpbench.attribution.judging import attribute_bag
    from fpbench.attribution.verdict import promise

    found = attribute_bag(images, model, alpha, each=None if shown is None else shown.add)
    for verdict in found.refused:
        click.echo(f"Error: {visible(verdict.reason)}", err=True)
    told = promise(model, alpha, images=max(1, found.images))
    if shown is not None:
        shown.bag = found
    if as_json:
        document = {"model": _about(model), "alpha": alpha, "promise": told, "bag": found.to_dict()}
        click.echo(json.dumps(document, indent=2))
    elif found.images:
        _show_bag(found)
        click.echo(visible(f"\n{told}"))
    return found.images, len(found.refused)


def _about(model: FittedModel) -> dict[str, Any]:
    page = model.page
    return {
        "folder": str(model.folder),
        "method": page.method.label,
        "dataset": page.dataset.name,
        "content_hash": page.dataset.content_hash,
        "digest": page.digest,
        "calibration_images": {s.name: s.calibration for s in page.sources},
        "notes": list(model.notes),
    }


class _JSON:
    """One JSON document, written as the verdicts come: a million of them are never held."""

    def __init__(self, model: FittedModel, alpha: float) -> None:
        head = json.dumps({"model": _about(model), "alpha": alpha}, indent=2)
        click.echo(f'{head[:-2]},\n  "images": [', nl=False)
        self._between = "\n"

    def verdict(self, verdict: Verdict) -> None:
        text = json.dumps(verdict.to_dict())
        click.echo(f"{self._between}    {text}", nl=False)
        self._between = ",\n"

    def end(self, kinds: Counter[str], promise: str) -> None:
        rest = json.dumps({"counts": dict(kinds), "promise": promise}, indent=2)
        click.echo(f"\n  ],{rest[1:]}")


class _Lines:
    """A line for each image; for the only one, its p-values too."""

    def __init__(self, model: FittedModel, given: int) -> None:
        self._model = model
        self._held: Verdict | None = None
        self._several = given > 1

    def verdict(self, verdict: Verdict) -> None:
        if verdict.kind == "not judged":
            return
        if self._several:
            _show_line(verdict)
        elif self._held is None:
            self._held = verdict
        else:
            self._several = True
            _show_line(self._held)
            _show_line(verdict)

    def end(self, kinds: Counter[str], promise: str) -> None:
        if not self._several and self._held is not None:
            _show_one(self._held, self._model)
        elif kinds:
            click.echo(", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())))
        if any(kind != "not judged" for kind in kinds):
            click.echo(visible(f"\n{promise}"))


def _show_line(verdict: Verdict) -> None:
    named = ", ".join(
        f"{name} {verdict.p_values[name]:.3f}" for name in verdict.sources[:_MOST_NAMED]
    )
    more = len(verdict.sources) - _MOST_NAMED
    tail = f" and {more} more" if more > 0 else ""
    what = {"none": "none of the known sources"}.get(verdict.kind, verdict.kind)
    click.echo(visible(f"{verdict.place}: {what}{': ' if named else ''}{named}{tail}"))
    for warning in verdict.warnings:
        click.echo(visible(f"    {warning.text}"))


def _show_one(verdict: Verdict, model: FittedModel) -> None:
    click.echo(visible(f"{verdict.place}\n{verdict.sentence}"))
    for warning in verdict.warnings:
        click.echo(visible(f"Note: {warning.text}"))
    _show_p_values(verdict.p_values, set(verdict.sources), lambda name: "")


def _show_bag(found: BagVerdict) -> None:
    click.echo(visible(f"{found.images} images together\n{found.sentence}"))
    for warning, count in found.warnings:
        click.echo(visible(f"Note, of {count} of them, e.g.: {warning.text}"))
    _show_p_values(found.p_values, set(found.sources), lambda name: f"{found.smallest[name]:.4f}")


def _show_p_values(
    p_values: dict[str, float], possible: set[str], least: Callable[[str], str]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from fpbench.cli.tables import console

    table = Table(box=box.SIMPLE_HEAD)
    bag = any(least(name) for name in p_values)
    for heading in ("source", "p-value", "", *(["smallest possible"] if bag else [])):
        table.add_column(heading, justify="left" if heading in ("source", "") else "right")
    for name, p in sorted(p_values.items(), key=lambda item: -item[1]):
        told = "possible" if name in possible else "ruled out"
        last = [least(name)] if bag else []
        style = None if name in possible else "dim"
        table.add_row(Text(visible(name)), f"{p:.4f}", told, *last, style=style)
    console().print(table)
