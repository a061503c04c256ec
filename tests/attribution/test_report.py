"""The report: everything stands in the file, nothing is fetched, and every fact is on the page."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fpbench.attribution import pictures
from fpbench.attribution.document import MeasuredScore
from fpbench.attribution.judging import attribute_bag, judge_stream
from fpbench.attribution.model import FittedModel
from fpbench.attribution.report import Report, refuse_report
from fpbench.attribution.spectra import SourceSpectra
from fpbench.conformance.planted import PlantedSets
from fpbench.errors import BadInput
from fpbench.images import ImageSet

Write = Callable[..., Path]


class Tags(HTMLParser):
    """All tags with their attributes, and what was left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [a[attribute] or "" for _, a in self.tags if attribute in a]


def page_of(model: FittedModel, images: object, alpha: float = 0.1, most: int = 50) -> str:
    report = Report(model, alpha, most)
    for verdict, taken, _ in judge_stream(images, model, alpha):  # type: ignore[arg-type]
        report.add(verdict, taken)
    return report.html()


def test_everything_stands_in_the_page(fitted: FittedModel, image_of: Write) -> None:
    odd = image_of(2, "<script>alert(1)</script>.jpg".replace("/", "-"), quality=70)
    text = page_of(fitted, [image_of(1), odd, "gone.png"])
    found = Tags(text)
    assert found.open == []
    assert {value[:5] for value in found.values("src")} == {"data:"}
    assert all(value.startswith("#") for value in found.values("href"))
    assert "script" not in {tag for tag, _ in found.tags} and "link" not in dict(found.tags)
    assert "default-src 'none'" in text and "&lt;script&gt;" in text
    assert not re.search(r"https?://|url\(", text)
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    assert all(value[1:] in ids for value in found.values("href"))
    assert all(a.get("alt") for tag, a in found.tags if tag == "img")


def test_the_page_says_what_the_verdict_says(fitted: FittedModel, image_of: Write) -> None:
    images = [image_of(1), image_of(2, "b.jpg", quality=80), "gone.png"]
    text = page_of(fitted, images)
    verdicts = [verdict for verdict, _, _ in judge_stream(images, fitted, 0.1)]
    for verdict in verdicts[:2]:
        assert verdict.sentence in text
        for p in verdict.p_values.values():
            assert f"{p:.4f}" in text
    assert "There is no file or folder gone.png" in text
    assert "The promise does not cover this image" in text and "It is a JPEG" in text
    assert "with probability at most 0.1" in text and "left:10.00%" in text
    assert fitted.page.digest in text


def test_no_more_images_are_held_than_are_shown(fitted: FittedModel, planted: PlantedSets) -> None:
    text = page_of(fitted, planted.test.unlabelled(), most=3)
    assert f"The first 3 of {len(planted.test)} are shown." in text
    assert len([tag for tag, _ in Tags(text).tags if tag == "article"]) == 3


def test_a_bag_stands_first(fitted: FittedModel, planted: PlantedSets) -> None:
    own = planted.test.pixels[planted.test.labels == 1][:5]
    report = Report(fitted, 0.1)
    report.bag = attribute_bag(own, fitted, each=report.add)
    text = report.html()
    assert "All 5 images together" in text and "a bag of 5 images" in text
    assert report.bag.sentence in text


def test_scores_of_the_boards_stand_there_or_a_sentence_does(
    fitted: FittedModel, image_of: Write
) -> None:
    assert page_of(fitted, image_of(1)).count("of this nothing is known here") == 3
    score = MeasuredScore(
        protocol="robustness", key="robust_mean", title="accuracy, perturbed", value=0.4567,
        low=0.4, high=0.5, chance=0.1, better="higher", runs=3,
    )  # fmt: skip
    measured = replace(fitted, page=fitted.page.model_copy(update={"measured": [score]}))
    text = page_of(measured, image_of(1))
    assert text.count("of this nothing is known here") == 2
    assert "0.457" in text and "accuracy, perturbed" in text and "0.400 – 0.500" in text


@pytest.mark.parametrize(
    ("licences", "shown"), [(["cc0-1.0"], True), (["other"], False), ([], False)]
)
def test_a_real_image_is_shown_only_where_its_licence_lets_it(
    licences: list[str], shown: bool, fitted: FittedModel, planted: PlantedSets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        fitted.method, "residual_names", ("nearest real image", "artifact"), raising=False
    )
    part = fitted.page.dataset.model_copy(update={"licences": licences})
    model = replace(fitted, page=fitted.page.model_copy(update={"dataset": part}))
    image, nearest, artifact = pictures.pictures_of(model, planted.test.pixels[0])
    assert bool(nearest.source) is shown and image.source and artifact.source
    assert ("do not say" in nearest.text) is not shown


def test_the_peaks_of_a_planted_wave_are_found() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:16, :16]
    wave = 6 * np.cos(2 * np.pi * (3 * rows + 5 * columns) / 16)

    def images(waved: bool) -> np.ndarray:
        noise = rng.normal(0, 3, (80, 16, 16, 3))
        return noise + (wave[..., None] if waved else 0)

    spectra = [pictures.log_spectra(images(waved).astype(np.float32)) for waved in (False, True)]
    sources = SourceSpectra(np.stack([s.mean(axis=0) for s in spectra]), spectra[0].std(axis=0))
    one = pictures.log_spectra(images(True)[:1].astype(np.float32))[0]
    peak, *_ = sources.peaks(one, 1)
    assert (peak.row, peak.column) == (3, 5)
    assert peak.image > peak.others + 0.5 and abs(peak.source - peak.image) < 1
    assert (3, 5) not in [(p.row, p.column) for p in sources.peaks(one, 0)]


@pytest.mark.parametrize("size", [(16, 16), (15, 18), (17, 9)])
def test_the_shown_spectrum_is_the_whole_transform(
    size: tuple[int, int], fitted: FittedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    power = np.abs(np.fft.fft2(pixels.astype(float), axes=(0, 1))) ** 2 / (size[0] * size[1])
    whole = np.fft.fftshift(np.log10(power.mean(axis=2)))
    shape = (len(fitted.sources), size[0], size[1] // 2 + 1)
    spectra = SourceSpectra(np.zeros(shape, np.float32), np.ones(shape[1:], np.float32))
    # What a model has read is kept on it; this one has read nothing yet.
    model = replace(fitted)
    monkeypatch.setattr(FittedModel, "spectra", spectra)
    monkeypatch.setattr(pictures, "residuals_of", lambda method, images: np.float32(images.pixels))
    held: list[np.ndarray] = []

    def keep(title: str, levels: np.ndarray, text: str) -> pictures.Picture:
        held.append(levels[..., 0])
        return pictures.Picture(title, "", text)

    monkeypatch.setattr(pictures, "picture", keep)
    pictures.spectrum_of(model, pixels, 1)
    expected = np.clip(whole, *np.percentile(whole, (1, 99.5)))
    assert np.corrcoef(held[0].ravel(), expected.ravel())[0, 1] > 0.999
    # Of a source that is strong at all frequencies, the strongest one speaks, and is marked.
    raised = np.zeros(shape, np.float32)
    raised[1] = 1
    monkeypatch.setattr(FittedModel, "spectra", SourceSpectra(raised, spectra.spread))
    found = pictures.spectrum_of(replace(fitted), pixels, 1)
    whole[size[0] // 2, size[1] // 2] = -np.inf
    brightest = np.unravel_index(whole.argmax(), whole.shape)
    places = [
        (int(top / 100 * size[0]), int(left / 100 * size[1]))
        for number, left, top in found.marks
        if number == 1
    ]
    assert tuple(map(int, brightest)) in places


def luminance(colour: str) -> float:
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_read_in_both_themes_and_in_print(fitted: FittedModel, image_of: Write) -> None:
    text = page_of(fitted, image_of(1))
    themes = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    assert len(themes) == 3
    for theme in themes:
        colours = {
            name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
            for name, value in re.findall(r"--([\w-]+): (#\w+)", theme)
        }
        for one, other in (
            ("text", "ground"), ("text", "raised"), ("text", "warn-ground"), ("quiet", "ground"),
            ("link", "ground"),
        ):  # fmt: skip
            assert contrast(colours[one], colours[other]) >= 4.5, (one, other)
        for one in ("bar", "out", "alpha"):
            assert contrast(colours[one], colours["raised"]) >= 3, one


def test_where_no_page_can_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        refuse_report(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file"):
        refuse_report(tmp_path / "file" / "a.html")


def test_pixels_alone_make_a_page(fitted: FittedModel, planted: PlantedSets) -> None:
    assert "image 0" in page_of(fitted, ImageSet(planted.test.pixels[:1]))
