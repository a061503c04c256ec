"""The worked cases of docs/attribution.md, their pictures and their numbers.

    python docs/figures/attribution.py

Fits logdct on gm-mini with seed 0, attributes five images, and judges all test images after JPEG.
Writes attribution-*.png beside this file and the two marked parts of the page. Test images are
taken by a rule that is stated with each case, so that none is chosen by eye.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fpbench.attribution.fitting import fit_model
from fpbench.attribution.judging import attribute, attribute_bag
from fpbench.attribution.model import FittedModel
from fpbench.attribution.verdict import Verdict
from fpbench.datasets.dataset import GMDataset
from fpbench.datasets.layout import shard_path
from fpbench.datasets.resolve import resolve
from fpbench.datasets.shards import read_shard
from fpbench.registry import card_folders

HERE = Path(__file__).parent
METHOD, ALPHA, LARGER = "logdct", 0.1, 5


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """A JPEG of an image, 4:2:0."""
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=quality, subsampling="4:2:0")
    return packed.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """The pixels of an image file."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def first(verdicts: list[Verdict], owners: list[str], source: str, kind: str, right: bool) -> int:
    """The first test image of a source with a kind of verdict, its source being in it or not."""
    return next(
        index
        for index, (verdict, owner) in enumerate(zip(verdicts, owners, strict=True))
        if owner == source and verdict.kind == kind and (source in verdict.sources) is right
    )


def told(title: str, name: str, how: str, verdict: Verdict, note: str) -> list[str]:
    """A case of the page."""
    best = sorted(verdict.p_values.items(), key=lambda item: -item[1])[:4]
    lines = [f"### {title}", "", f"![{title}](figures/attribution-{name}.png)", "", how, ""]
    lines += [f"> {verdict.sentence}", ">"]
    lines += [f"> *{warning.text}*\n>" for warning in verdict.warnings]
    lines += ["> p-values: " + ", ".join(f"{k} {p:.3f}" for k, p in best) + ", …", "", note, ""]
    return lines


def cases(model: FittedModel, dataset: GMDataset, work: Path) -> list[str]:
    """The five cases, with their pictures."""
    owners = [dataset.sources[k].name for k in dataset.test.labels]
    verdicts = list(attribute(dataset.test.unlabelled(), model, ALPHA))
    lines: list[str] = []

    def judge(name: str, data: bytes, suffix: str) -> Verdict:
        path = work / f"{name}{suffix}"
        path.write_bytes(data)
        pixels = decoded(data)
        large = np.kron(pixels, np.ones((LARGER, LARGER, 1), np.uint8))
        Image.fromarray(large).save(HERE / f"attribution-{name}.png", optimize=True)
        (verdict,) = attribute(path, model, ALPHA)
        return verdict

    def png(index: int) -> bytes:
        packed = io.BytesIO()
        Image.fromarray(dataset.test.pixels[index]).save(packed, "PNG")
        return packed.getvalue()

    one = first(verdicts, owners, "dcgan-small", "attributed", True)
    lines += told(
        "1. A generator that the model knows", "known",
        f"Test image {dataset.test.ids[one]} of `dcgan-small`, the first that is attributed to it.",
        judge("known", png(one), ".png"),
        "One source is left. The sentence means: were this an image of another known source, that "
        "source's p-value would be at most 0.1 in at most one case in ten. It does not mean that "
        "`dcgan-small` made it with probability 0.9.",
    )  # fmt: skip
    two = first(verdicts, owners, "real", "attributed", True)
    lines += told(
        "2. A photograph", "photograph",
        f"Test image {dataset.test.ids[two]}, a crop of a free photograph, the first that is "
        "attributed to `real`.",
        judge("photograph", png(two), ".png"),
        "`real` is a source like any other: photographs as this dataset has them, not all "
        "photographs. A camera or a scene unlike them may well be called none.",
    )  # fmt: skip
    three = first(verdicts, owners, "glow-small", "undecided", True)
    lines += told(
        "3. Undecided", "undecided",
        f"Test image {dataset.test.ids[three]} of `glow-small`, the first that is undecided.",
        judge("undecided", png(three), ".png"),
        "The method cannot tell these apart on this image at this error. A larger α would name "
        "fewer sources and be wrong more often; more images of the same source, as a bag, help "
        "without that.",
    )  # fmt: skip
    shard = card_folders()["gm-cifar10"] / shard_path("test", "adm-small")
    strange = next(iter(read_shard(shard))).read()
    lines += told(
        "4. A generator that the model does not know", "unknown",
        "The first test image of `adm-small` of gm-cifar10, a diffusion model trained on other "
        "photographs.",
        judge("unknown", strange, ".png"),
        "Nothing is promised here. The coverage table below gives how often unknown generators "
        "were called none, undecided, or wrongly a known one.",
    )  # fmt: skip
    five = next(
        index
        for index, owner in enumerate(owners)
        if owner == "dcgan-small" and verdicts[index].sources == ("dcgan-small",)
        and "dcgan-small" not in next(
            attribute(decoded(jpeg(dataset.test.pixels[index], 75))[None], model, ALPHA)
        ).sources
    )  # fmt: skip
    lines += told(
        "5. Where it fails: a re-compressed image", "recompressed",
        f"Test image {dataset.test.ids[five]} of `dcgan-small` as a JPEG of quality 75: the first "
        "that was attributed to it and no longer is.",
        judge("recompressed", jpeg(dataset.test.pixels[five], 75), ".jpg"),
        "The verdict is wrong: the true source has been ruled out. The tool cannot know that; it "
        "says what it can see, that this file is no PNG as the training images are, and that the "
        "promise does not cover it.",
    )  # fmt: skip
    return lines


def measured(model: FittedModel, dataset: GMDataset, work: Path) -> list[str]:
    """Test images as they are and after JPEG: coverage, and what was told of them."""
    owners = [dataset.sources[k].name for k in dataset.test.labels]
    lines = [
        "| test images of gm-mini | true source kept | one source named | none "
        "| told by the format | told by the pixels |",
        "|---|---|---|---|---|---|",
    ]
    for title, quality, suffix in (
        ("as they are", None, ".png"),
        ("JPEG, quality 95", 95, ".jpg"),
        ("JPEG, quality 75", 75, ".jpg"),
        ("JPEG, quality 75, kept as PNG", 75, ".png"),
    ):
        folder = work / title.replace(" ", "-")
        folder.mkdir()
        for index, pixels in enumerate(dataset.test.pixels):
            path = folder / f"{index:05}{suffix}"
            if suffix == ".jpg" and quality is not None:
                path.write_bytes(jpeg(pixels, quality))
            else:
                shown = pixels if quality is None else decoded(jpeg(pixels, quality))
                Image.fromarray(shown).save(path)
        found = list(attribute(folder, model, ALPHA))
        shares = [
            np.mean([o in v.sources for v, o in zip(found, owners, strict=True)]),
            np.mean([v.kind == "attributed" for v in found]),
            np.mean([v.kind == "none" for v in found]),
            np.mean([any(w.kind == "format" for w in v.warnings) for v in found]),
            np.mean([any(w.kind == "grid" for w in v.warnings) for v in found]),
        ]
        lines.append(f"| {title} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    bags = {1: [0, 0], 5: [0, 0], 20: [0, 0]}
    for k, source in enumerate(dataset.sources):
        own = dataset.test.pixels[dataset.test.labels == k]
        for size, counts in bags.items():
            for start in range(0, len(own) - size + 1, max(size, 15)):
                verdict = attribute_bag(own[start : start + size], model, ALPHA)
                counts[0] += source.name in verdict.sources
                counts[1] += verdict.sources == (source.name,)
    totals = {
        size: len(dataset.sources) * len(range(0, 150 - size + 1, max(size, 15))) for size in bags
    }
    lines += [
        "",
        "| images in a bag | bags | true source kept | named alone |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {size} | {totals[size]} | {kept / totals[size]:.3f} | {alone / totals[size]:.3f} |"
        for size, (kept, alone) in bags.items()
    ]
    return [*lines, ""]


def main() -> None:
    """Fit, judge, and write pictures and page."""
    dataset = resolve("gm-mini").load()
    page = HERE.parent / "attribution.md"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        model = fit_model(METHOD, "gm-mini", work / "model", device="cpu")
        parts = {"cases": cases(model, dataset, work), "measured": measured(model, dataset, work)}
    text = page.read_text(encoding="utf-8")
    for name, lines in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}\n" + "\n".join(lines) + end + rest.split(end)[1]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
