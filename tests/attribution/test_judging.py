"""Verdicts: what is attributed, undecided or none, what is refused, and what is told beside it."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import fpbench
from fpbench.attribution.judging import attribute, attribute_bag
from fpbench.attribution.metadata import stated_origin
from fpbench.attribution.model import FittedModel
from fpbench.attribution.verdict import Verdict, promise
from fpbench.conformance.planted import PlantedSets
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.metrics.conformal import coverage_interval

Write = Callable[..., Path]


def only(verdicts: object) -> Verdict:
    (found,) = verdicts  # type: ignore[misc]
    return found  # type: ignore[no-any-return]


def test_coverage_holds_for_every_source(fitted: FittedModel, planted: PlantedSets) -> None:
    verdicts = list(attribute(planted.test.unlabelled(), fitted, 0.2))
    names = [source.name for source in fitted.sources]
    for k, name in enumerate(names):
        own = [v for v, label in zip(verdicts, planted.test.labels, strict=True) if label == k]
        covered = sum(name in verdict.sources for verdict in own)
        known = int(fitted.calibration.counts[k])
        low, _ = coverage_interval(known, len(own), 0.2, 0.999)
        assert covered >= low * len(own), name
    kinds = {verdict.kind for verdict in verdicts}
    assert "attributed" in kinds and "not judged" not in kinds
    right = [
        v.sources == (names[k],)
        for v, k in zip(verdicts, planted.test.labels, strict=True)
        if v.kind == "attributed"
    ]
    assert np.mean(right) > 0.7


def test_a_verdict_is_what_its_p_values_say(fitted: FittedModel, planted: PlantedSets) -> None:
    images = planted.test.unlabelled()
    proba = fitted.predict_proba(images)
    expected = fitted.calibration.p_values(proba)
    for verdict, p in zip(attribute(images, fitted, 0.1), expected, strict=True):
        assert list(verdict.p_values.values()) == p.tolist()
        possible = [n for n, value in verdict.p_values.items() if value > 0.1]
        assert sorted(verdict.sources) == sorted(possible)
        assert list(verdict.sources) == sorted(verdict.sources, key=lambda n: -verdict.p_values[n])
        words = {0: "none", 1: "attributed"}.get(len(possible), "undecided")
        assert verdict.kind == words
    # At an error below 1 / (n + 1) nothing is ruled out, and at a large one hardly anything is in.
    assert all(len(v.sources) == 3 for v in attribute(images, fitted, 0.01))
    assert "cannot be ruled out at all" in promise(fitted, 0.01)
    assert sum(v.kind == "none" for v in attribute(images, fitted, 0.9)) > 50


def test_files_folders_and_pixels_get_the_same_verdicts(
    fitted: FittedModel, planted: PlantedSets, tmp_path: Path
) -> None:
    for index, pixels in enumerate(planted.test.pixels[:30]):
        # Every third is no plain PNG, so that both decoders are met.
        Image.fromarray(pixels).save(tmp_path / f"{index:02}.png", optimize=bool(index % 3))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "inner").mkdir()
    from_folder = list(attribute(tmp_path, fitted))
    from_files = list(attribute(sorted(tmp_path.glob("*.png")), fitted))
    from_pixels = list(attribute(planted.test.pixels[:30], fitted))
    assert from_folder == from_files and len(from_folder) == 30
    assert [v.p_values for v in from_folder] == [v.p_values for v in from_pixels]
    assert from_folder[0].place.endswith("00.png") and from_pixels[0].place == "image 0"


def test_the_library_takes_a_folder_or_a_model(fitted: FittedModel, image_of: Write) -> None:
    path = image_of(1)
    first = list(fpbench.attribute(path, fitted.folder))
    assert first == list(fpbench.attribute([path], fpbench.load_model(fitted.folder), alpha=0.1))
    assert fpbench.attribute_bag([path], fitted).images == 1
    with pytest.raises(BadInput, match=r"α = 1 is no error"):
        fpbench.attribute(path, fitted, alpha=1)


def test_a_bag_is_decided_where_its_images_are_not(
    fitted: FittedModel, planted: PlantedSets
) -> None:
    for k, source in enumerate(fitted.sources):
        own = planted.test.pixels[planted.test.labels == k][:40]
        found = attribute_bag(own, fitted)
        assert found.sources == (source.name,), found.p_values
        assert found.images == 40 and found.p_values[source.name] > 0.1
    mixed = attribute_bag(planted.test.pixels, fitted)
    assert mixed.kind == "none"


def test_a_bag_says_what_cannot_be_ruled_out(fitted: FittedModel, image_of: Write) -> None:
    found = attribute_bag([image_of(1)], fitted, 0.01)
    assert found.irrefutable == [source.name for source in fitted.sources]
    assert "cannot be ruled out at α = 0.01" in found.sentence
    assert attribute_bag(["nowhere.png"], fitted).kind == "not judged"


def jpeg(pixels: np.ndarray) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=80)
    return packed.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(size: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes(6 * size) for _ in range(size))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def huge_png(width: int, height: int) -> bytes:
    """The head of a PNG of many pixels, and next to no data."""
    small = deep_png(1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return small[:8] + chunk(b"IHDR", head) + small[8 + 25 :]


def spoiled(kind: str, path: Path, pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    match kind:
        case "text":
            path.write_text("this is no image")
        case "truncated":
            image.save(path, "PNG")
            path.write_bytes(path.read_bytes()[:300])
        case "animated":
            image.save(path, "PNG", save_all=True, append_images=[Image.fromarray(255 - pixels)])
        case "deep":
            path.write_bytes(deep_png(16))
        case "cmyk":
            image.convert("CMYK").save(path, "JPEG")
        case "grey":
            image.convert("L").save(path, "PNG")
        case "turned":
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(path, "PNG", exif=exif)
        case "megapixels":
            path.write_bytes(huge_png(11_000, 10_000))
        case "gigapixels":
            path.write_bytes(huge_png(50_000, 40_000))
        case "gif":
            image.save(path, "GIF")
        case "size":
            image.resize((20, 12)).save(path, "PNG")
        case "pipe":
            import os

            os.mkfifo(path)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("text", "truncated or no PNG, JPEG or WebP image"),
        ("truncated", "truncated or no PNG"),
        ("animated", "it has 2 frames, but the model reads one upright picture"),
        ("deep", "it has 16 bits a channel, but the model reads"),
        ("cmyk", "it is CMYK, but the model reads"),
        ("grey", "it is grey, but the model reads"),
        ("turned", "it is to be shown turned (EXIF orientation 6), but the model reads"),
        ("megapixels", "has more than 100 megapixels"),
        ("gigapixels", "has more than 100 megapixels"),
        ("gif", "is a GIF file, whatever its name says"),
        ("size", "it is 12x20 pixels, but the model was fitted on images of 16x16"),
        ("pipe", "is no plain file but a pipe"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_judged_is_told_in_a_sentence_and_the_rest_goes_on(
    kind: str, sentence: str, fitted: FittedModel, planted: PlantedSets, tmp_path: Path
) -> None:
    path = tmp_path / "b.png"
    pixels = planted.test.pixels[0]
    spoiled(kind, path, pixels)
    for name in ("a.png", "c.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    before, refused, after = attribute(tmp_path, fitted)
    assert refused.kind == "not judged" and not refused.covered
    assert str(path) in refused.reason and sentence in refused.reason
    assert "\n" not in refused.reason and "every source" not in refused.reason
    assert refused.sources == () and refused.p_values == {}
    assert before.kind != "not judged" and before.p_values == after.p_values


def test_a_folder_without_images_and_a_missing_path_are_told(
    fitted: FittedModel, tmp_path: Path, image_of: Write
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "inner").mkdir()
    found = list(attribute([tmp_path / "empty", tmp_path / "gone", image_of(0)], fitted))
    assert "holds no PNG, JPEG or WebP image itself" in found[0].reason
    assert "There is no file or folder" in found[1].reason
    assert found[2].kind != "not judged"


def test_images_in_memory_of_another_size_are_not_judged(fitted: FittedModel) -> None:
    found = only(attribute(ImageSet(np.zeros((1, 8, 8, 3), np.uint8)), fitted))
    assert "it is 8x8 pixels" in found.reason and "not resized" in found.reason


def kinds(verdict: Verdict) -> set[str]:
    return {warning.kind for warning in verdict.warnings}


def test_a_plain_new_image_has_no_warning(fitted: FittedModel, image_of: Write) -> None:
    verdict = only(attribute(image_of(1, index=3), fitted))
    assert verdict.warnings == () and verdict.covered


def test_a_jpeg_of_a_model_of_pngs_is_told(fitted: FittedModel, image_of: Write) -> None:
    verdict = only(attribute(image_of(1, "image.jpg", index=3, quality=90), fitted))
    assert "format" in kinds(verdict) and not verdict.covered
    text = next(w.text for w in verdict.warnings if w.kind == "format")
    assert "It is a JPEG, but the training images are PNG" in text
    assert verdict.kind != "not judged"


def test_a_jpeg_kept_as_png_is_told_by_its_pixels(
    fitted: FittedModel, planted: PlantedSets, tmp_path: Path
) -> None:
    assert fitted.page.grid is not None
    for index, pixels in enumerate(planted.test.pixels[:40]):
        Image.open(io.BytesIO(jpeg(pixels))).save(tmp_path / f"{index}.png")
    told = ["grid" in kinds(verdict) for verdict in attribute(tmp_path, fitted)]
    usual = ["grid" in kinds(verdict) for verdict in attribute(planted.test.pixels, fitted)]
    assert np.mean(told) > 0.5 and np.mean(usual) < 0.06


def test_a_near_copy_of_a_training_image_is_told(
    fitted: FittedModel, dataset: Path, tmp_path: Path
) -> None:
    for path in (dataset / "real" / "000.png", dataset / "real" / "r007.png"):
        verdict = only(attribute(path, fitted))
        text = next(w.text for w in verdict.warnings if w.kind == "near copy")
        assert "of real" in text and path.stem in text and not verdict.covered
    with Image.open(dataset / "real" / "000.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "turned.png")
    verdict = only(attribute(tmp_path / "turned.png", fitted))
    assert any("mirrored" in warning.text for warning in verdict.warnings)


def png_with(path: Path, pixels: np.ndarray, **texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text, zip=len(text) > 100)
    Image.fromarray(pixels).save(path, "PNG", pnginfo=info)
    return path.read_bytes()


PIXELS = np.zeros((16, 16, 3), np.uint8)


def test_metadata_that_names_a_generator_is_named_and_not_trusted(
    fitted: FittedModel, planted: PlantedSets, tmp_path: Path
) -> None:
    pixels = planted.test.pixels[planted.test.labels == 1][3]
    png_with(tmp_path / "a.png", pixels, parameters="a cat, Steps: 20", Software="NovelAI\x1b[31m")
    verdict = only(attribute(tmp_path / "a.png", fitted))
    told = [w for w in verdict.warnings if w.kind == "metadata"]
    assert len(told) == 2 and not any(w.voids for w in told)
    assert "'a cat, Steps: 20'" in told[0].text and "not trusted" in told[0].text
    assert "\x1b" not in told[1].text
    plain = only(attribute(pixels[None], fitted))
    assert verdict.p_values == plain.p_values


def test_texts_of_every_kind_are_read_to_a_bound(tmp_path: Path) -> None:
    data = png_with(tmp_path / "a.png", PIXELS, workflow="x" * 10_000_000, ignored="y")
    (fact,) = stated_origin(data)
    assert "'workflow'" in fact and len(fact) < 200
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Description", "façade", zip=True)
    Image.fromarray(PIXELS).save(tmp_path / "b.png", pnginfo=info)
    assert "'façade'" in stated_origin((tmp_path / "b.png").read_bytes())[0]


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_exif_of_every_format_is_read(format_: str) -> None:
    exif = Image.Exif()
    exif[305] = "DALL-E"
    packed = io.BytesIO()
    Image.fromarray(PIXELS).save(packed, format_, exif=exif)
    assert stated_origin(packed.getvalue()) == ["its EXIF field Software says 'DALL-E'"]
    packed = io.BytesIO()
    Image.fromarray(PIXELS).save(packed, format_)
    assert stated_origin(packed.getvalue()) == []


def test_content_credentials_of_every_format_are_noticed() -> None:
    box = b"\0\0\0\x20jumb\0\0\0\x18jumdc2pa"
    packed = io.BytesIO()
    Image.fromarray(PIXELS).save(packed, "PNG")
    png = packed.getvalue()
    signed = png[:33] + chunk(b"caBX", box) + png[33:]
    packed = io.BytesIO()
    Image.fromarray(PIXELS).save(packed, "JPEG")
    photo = packed.getvalue()
    segment = photo[:2] + b"\xff\xeb" + struct.pack(">H", len(box) + 2) + box + photo[2:]
    packed = io.BytesIO()
    Image.fromarray(PIXELS).save(packed, "WEBP", lossless=True)
    web = packed.getvalue()
    riff = web + b"C2PA" + struct.pack("<I", len(box)) + box
    for data, plain in ((signed, png), (segment, photo), (riff, web)):
        assert any("C2PA" in fact for fact in stated_origin(data))
        assert stated_origin(plain) == []
    xmp = photo[:2] + b"\xff\xe1\0\x20trainedAlgorithmicMedia......." + photo[2:]
    assert "trainedAlgorithmicMedia" in stated_origin(xmp)[0]


def test_broken_metadata_is_no_error() -> None:
    packed = io.BytesIO()
    Image.fromarray(PIXELS).save(packed, "PNG")
    png = packed.getvalue()
    for text in (b"Software", b"Software\0\0not deflated"):
        kind = b"zTXt"
        chunk = (
            struct.pack(">I", len(text)) + kind + text + struct.pack(">I", zlib.crc32(kind + text))
        )
        assert stated_origin(png[:33] + chunk + png[33:])
    assert stated_origin(png[:40]) == []


def test_a_method_that_fails_on_images_is_told_as_what_it_is(
    fitted: FittedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(images: ImageSet) -> np.ndarray:
        raise ZeroDivisionError("by no pixel")

    monkeypatch.setattr(fitted.method, "predict_proba", fail)
    with pytest.raises(BadInput, match=r"prnu:wavelet cannot judge these images: ZeroDivision"):
        only(attribute(PIXELS[None], fitted))
    monkeypatch.setattr(fitted.method, "predict_proba", lambda images: np.ones((1, 9), np.float32))
    with pytest.raises(BadInput, match=r"returned 9 columns for 3 sources"):
        only(attribute(PIXELS[None], fitted))
