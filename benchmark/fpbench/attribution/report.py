"""A page about verdicts that a person can read: one file, nothing outside it is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.attribution.document import MeasuredScore
from fpbench.attribution.measured import SHOWN
from fpbench.attribution.pictures import Picture, Spectrum, pictures_of, spectrum_of
from fpbench.attribution.verdict import BagVerdict, Verdict, promise
from fpbench.errors import BadInput, visible
from fpbench.files import write_text

if TYPE_CHECKING:
    from fpbench.attribution.model import FittedModel
    from fpbench.attribution.reading import Taken

MOST = 50
"""Images that a page shows; of more, the page gives the numbers alone."""


@dataclass(frozen=True)
class Bar:
    """A source's p-value.

    Attributes:
        source: Name of the source.
        p: The p-value.
        possible: Whether it is not ruled out.
    """

    source: str
    p: float
    possible: bool


@dataclass(frozen=True)
class Shown:
    """One image on the page."""

    verdict: Verdict
    bars: list[Bar]
    pictures: list[Picture]
    spectrum: Spectrum | None


class Report:
    """Collects verdicts and writes a page.

    Args:
        model: The model.
        alpha: The error.
        most: Images shown at most; their pictures are held, and nothing of the others.
    """

    def __init__(self, model: FittedModel, alpha: float, most: int = MOST) -> None:
        self._model = model
        self._alpha = alpha
        self._most = most
        self._shown: list[Shown] = []
        self._kinds: dict[str, int] = {}
        self.bag: BagVerdict | None = None

    def add(self, verdict: Verdict, taken: Taken | None) -> None:
        """Take a verdict, with the image that it is of where that could be read."""
        self._kinds[verdict.kind] = self._kinds.get(verdict.kind, 0) + 1
        if len(self._shown) >= self._most:
            return
        if taken is None:
            self._shown.append(Shown(verdict, [], [], None))
            return
        names = [source.name for source in self._model.sources]
        likeliest = max(names, key=lambda name: verdict.p_values[name])
        self._shown.append(
            Shown(
                verdict,
                bars_of(verdict.p_values, verdict.sources),
                pictures_of(self._model, taken.pixels),
                spectrum_of(self._model, taken.pixels, names.index(likeliest)),
            )
        )

    def html(self) -> str:
        """The page."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("fpbench.attribution"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["visible"] = visible
        page, bag = self._model.page, self.bag
        total = sum(self._kinds.values())
        facts: dict[str, Any] = {
            "model": page,
            "notes": self._model.notes,
            "alpha": self._alpha,
            "promise": promise(self._model, self._alpha, images=None if bag is None else bag.images)
            if bag is None or bag.images
            else "",
            "shown": self._shown,
            "total": total,
            "kinds": sorted(self._kinds.items()),
            "bag": bag,
            "bag_bars": [] if bag is None else bars_of(bag.p_values, bag.sources),
            "protocols": [(name, _of(page.measured, name)) for name in SHOWN],
            "calibration": sorted({part.calibration for part in page.sources}),
            "made": datetime.now(UTC),
            "size": page.image_size,
        }
        return environment.get_template("report.html").render(facts)

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            CannotWrite: If the disk is full or the folder is not ours.
        """
        write_text(path, self.html())


def bars_of(p_values: dict[str, float], possible: tuple[str, ...]) -> list[Bar]:
    """P-values, the largest first."""
    ordered = sorted(p_values.items(), key=lambda item: -item[1])
    return [Bar(name, p, name in possible) for name, p in ordered]


def _of(measured: list[MeasuredScore], protocol: str) -> list[MeasuredScore]:
    return [score for score in measured if score.protocol == protocol]


def refuse_report(path: Path) -> None:
    """Refuse a page that could not be written where it is asked for, before images are judged.

    Raises:
        BadInput: If it would replace a folder, or stands in a file.
    """
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file for the report, e.g. {path / 'a.html'}.")
    if path.parent.exists() and not path.parent.is_dir():
        raise BadInput(f"{path.parent} is a file; name a folder for the report to stand in.")
