"""The audit finds what was planted and is silent where nothing is."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpbench.datasets.audit import AuditReport, audit
from fpbench.datasets.audit_text import as_markdown, as_text, write_into, write_into_card
from fpbench.datasets.build import build
from fpbench.datasets.findings import findings
from fpbench.datasets.planting import highpass
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.method import FitContext
from fpbench.metrics.attribution import accuracy
from fpbench_methods.plain import Plain

Save = Callable[..., None]
Make = Callable[..., np.ndarray]


def test_a_plain_dataset_has_no_findings(tiny_card: Path, tmp_path: Path) -> None:
    report = audit(str(build(tiny_card, tmp_path / "built")))
    assert [f for f in report.findings if not f["kind"].endswith("-real")] == []
    assert report.document["counts"]["test"] == {"real": 16, "gan-a": 16, "vae-b": 16}
    assert report.document["shortcut"]["chance"] == 0.5
    assert report.document["files"]["gan-a"] == {"PNG RGB 16x16": 26}


def test_both_baselines_are_named_and_the_plain_one_is_the_method(
    image_folder: Path, different_images: Make, save_images: Save
) -> None:
    shutil.rmtree(image_folder / "vae-b")
    # Darker and flatter: no metadata says so but the size of files, plain statistics do.
    save_images(image_folder / "vae-b", 40 + different_images(40, 2) // 4)
    report = audit(str(image_folder))
    dataset = resolve(str(image_folder)).load()
    method = Plain().fit(
        dataset.train,
        reference=dataset.reference,
        validation=dataset.validation,
        context=FitContext(),
    )
    answers = method.predict_proba(dataset.test.unlabelled())
    found = report.document["plain"]
    assert found["accuracy"] == round(accuracy(dataset.test.labels, answers, 0), 4) == 1.0
    assert (found["method"], found["version"]) == ("plain", Plain.card.version)
    page = as_markdown(report)
    assert "| plain statistics | 1.000 [" in page and "| metadata only: file headers" in page
    older = {key: value for key, value in report.document.items() if key != "plain"}
    assert "plain statistics |" not in as_markdown(AuditReport(older))


def test_one_source_of_another_format_is_found(
    image_folder: Path, different_images: Make, save_images: Save
) -> None:
    shutil.rmtree(image_folder / "gan-a")
    save_images(image_folder / "gan-a", different_images(40, 1), ".jpg")
    report = audit(str(image_folder))
    assert report.finds("files") and report.finds("file")
    assert report.document["shortcut"]["groups"]["file"]["accuracy"] == 1.0
    assert "JPEG RGB 16x16" in next(iter(report.document["files"]["gan-a"]))


def test_clipping_of_one_source_is_found(
    image_folder: Path, different_images: Make, save_images: Save
) -> None:
    shutil.rmtree(image_folder / "vae-b")
    save_images(image_folder / "vae-b", np.clip(different_images(36, 2), 3, 252))
    report = audit(str(image_folder))
    assert report.finds("clipping")
    assert report.document["clipping"]["vae-b"] == {"at_0": 0.0, "at_255": 0.0}


def test_memorised_and_shared_images_are_found(
    image_folder: Path, different_images: Make, save_images: Save
) -> None:
    shutil.rmtree(image_folder / "gan-a")
    real = different_images(60, 0)
    rng = np.random.default_rng(5)
    noisy = np.clip(real[:40] + rng.normal(0, 2, real[:40].shape), 0, 255).astype(np.uint8)
    save_images(image_folder / "gan-a", noisy)
    report = audit(str(image_folder))
    assert report.finds("memorised") and report.finds("duplicates")
    dataset = resolve(str(image_folder)).load()
    in_reference = {str(name).split("/")[1] for name in dataset.reference.ids}
    copied = sum(f"{index:04d}.png" in in_reference for index in range(40))
    assert report.document["duplicates"]["memorised"] == {"gan-a": copied}


def _through_jpeg(images: np.ndarray) -> np.ndarray:
    done = []
    for pixels in images:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
        with Image.open(buffer) as image:
            done.append(np.asarray(image))
    return np.stack(done)


def test_pixels_that_were_a_jpeg_are_found_in_lossless_files(
    tmp_path: Path, different_images: Make, save_images: Save
) -> None:
    plain = {"real": 60, "gan-a": 40, "vae-b": 40}
    for seed, (name, count) in enumerate(plain.items()):
        save_images(tmp_path / "plain" / name, different_images(count, seed, 32))
    report = audit(str(tmp_path / "plain"))
    assert not report.finds("codec")
    shutil.copytree(tmp_path / "plain", tmp_path / "mixed")
    save_images(tmp_path / "mixed" / "vae-b", _through_jpeg(different_images(40, 2, 32)))
    report = audit(str(tmp_path / "mixed"))
    assert not report.finds("files")
    (told,) = [finding["text"] for finding in report.findings if finding["kind"] == "codec"]
    assert told.startswith("The pixels of vae-b carry") and "those of real, gan-a do not" in told
    trace = report.document["codec_trace"]
    assert trace["vae-b"]["ci_low"] > report.document["codec_threshold"] > trace["real"]["ci_high"]


def _trace(low: float | None, high: float | None) -> dict[str, float | None]:
    mean = None if low is None or high is None else (low + high) / 2
    return {"mean": mean, "ci_low": low, "ci_high": high}


@pytest.mark.parametrize(
    ("gan", "vae", "found"),
    [
        (_trace(0.2, 0.3), _trace(-0.01, 0.02), True),
        (_trace(0.05, 0.3), _trace(-0.01, 0.02), False),
        (_trace(0.2, 0.3), _trace(0.01, 0.09), False),
        (_trace(0.2, 0.3), _trace(0.2, 0.3), False),
        (_trace(0.2, 0.3), _trace(None, None), False),
    ],
)
def test_a_codec_is_found_where_intervals_clear_the_threshold_on_both_sides(
    gan: dict[str, float | None], vae: dict[str, float | None], found: bool
) -> None:
    document = {
        "files": {},
        "origin_files": {},
        "codec_threshold": 0.06,
        "codec_trace": {"gan": gan, "vae": vae},
        "shortcut": {"groups": {}},
        "duplicates": {"near_across": {}, "near_between": {}, "memorised": {}, "twins": []},
        "counts": {split: {"gan": 1} for split in ("train", "validation", "test")},
    }
    assert [finding["kind"] for finding in findings(document)] == ["codec"] * found


def test_two_sources_of_one_training_are_found(
    image_folder: Path, different_images: Make, save_images: Save
) -> None:
    shutil.rmtree(image_folder / "vae-b")
    generator = np.random.default_rng(3)
    # Fine detail of twins correlates by about 0.85, and they are brighter.
    one = np.clip(different_images(40, 1).astype(float), 10, 210)
    twin = one + 30 + generator.normal(0, 0.6 * highpass(one).std(), one.shape)
    save_images(image_folder / "gan-a", one.astype(np.uint8))
    save_images(image_folder / "vae-b", np.clip(np.rint(twin), 0, 255).astype(np.uint8))
    report = audit(str(image_folder))
    (told,) = [finding["text"] for finding in report.findings if finding["kind"] == "twins"]
    assert told.startswith("gan-a and vae-b share images position by position")
    assert report.finds("shared")
    assert list(report.document["duplicates"]["near_between"]) == ["gan-a and vae-b"]
    assert "Images at the same place of gan-a and vae-b" in as_text(report)


def test_uneven_sources_are_told(
    image_folder: Path, different_images: Make, save_images: Save
) -> None:
    save_images(image_folder / "gan-a", different_images(140, 1))
    assert audit(str(image_folder)).finds("balance")


def test_kinds_of_the_files_images_came_from_survive_the_build(
    tiny_card: Path, tmp_path: Path, different_images: Make, save_images: Save
) -> None:
    shutil.rmtree(tiny_card / "pictures" / "gan-a")
    save_images(tiny_card / "pictures" / "gan-a", different_images(30, 12), ".jpg")
    report = audit(str(build(tiny_card, tmp_path / "built")))
    assert not any(f["kind"] == "file" for f in report.findings)
    assert report.finds("files")
    assert "JPEG" in next(iter(report.document["origin_files"]["gan-a"]))


def test_the_report_is_written_and_read_back(tiny_card: Path, tmp_path: Path) -> None:
    built = build(tiny_card, tmp_path / "built")
    report = audit(str(built))
    page = (built / "README.md").read_text("utf-8")
    write_into(report, built)
    write_into(report, built)
    written = (built / "README.md").read_text("utf-8")
    assert written.startswith(page.rstrip("\n"))
    assert written.count("## Audit") == 1 and as_markdown(report).strip() in written
    assert json.loads((built / "audit.json").read_text("utf-8")) == report.document
    assert resolve(str(built)).load().shortcut == report.document["shortcut"]["accuracy"]
    assert "Audit of tiny" in as_text(report)


def test_an_audit_of_other_images_says_nothing(tiny_card: Path, tmp_path: Path) -> None:
    built = build(tiny_card, tmp_path / "built")
    write_into(audit(str(built)), built)
    build(tiny_card, built, sources=["gan-a"])
    assert resolve(str(built)).load().shortcut is None


def test_a_copy_built_anew_has_the_audit_of_its_card(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(tiny_card, tmp_path / "first")
    report = audit(str(first))
    write_into_card(report, first, tiny_card)
    (tmp_path / "cards").mkdir()
    tiny_card.rename(tmp_path / "cards" / "tiny")
    monkeypatch.setenv("FPBENCH_CARDS", str(tmp_path / "cards"))
    again = build("tiny", tmp_path / "again")
    assert not (again / "audit.json").exists()
    assert resolve(str(again)).load().shortcut == report.document["shortcut"]["accuracy"]
    fewer = build("tiny", tmp_path / "fewer", sources=["gan-a"])
    assert resolve(str(fewer)).load().shortcut is None


def test_nothing_planted_is_nothing_found() -> None:
    pytest.importorskip("skimage")
    report = audit("gm-synthetic:none")
    shortcut = report.document["shortcut"]
    assert shortcut["ci_low"] <= shortcut["chance"] <= shortcut["ci_high"]


def test_a_card_without_images_takes_the_report_of_what_was_built(
    tiny_card: Path, tmp_path: Path
) -> None:
    more = tiny_card / "recipe-more.yaml"
    more.write_text((tiny_card / "recipe.yaml").read_text("utf-8") + "# the same\n", "utf-8")
    first = build(tiny_card, tmp_path / "first")
    second = build(tiny_card, tmp_path / "second", recipe_file=more.name)
    report = audit(str(second))
    for _ in range(2):
        written = write_into_card(report, second, tiny_card)
    write_into_card(audit(str(first)), first, tiny_card)
    assert [path.name for path in written] == ["audit-more.json", "README.md"]
    assert json.loads(written[0].read_text("utf-8")) == report.document
    assert (tiny_card / "audit.json").is_file() and not (tiny_card / "manifest.json").exists()
    page = (tiny_card / "README.md").read_text("utf-8")
    for heading, word in (("Audit", "of"), ("Sources as built", "from")):
        assert page.count(f"## {heading}\n") == 1
        assert page.count(f"## {heading} {word} `recipe-more.yaml`\n") == 1
    more.unlink()
    with pytest.raises(BadInput, match="from no recipe that is in"):
        write_into_card(report, second, tiny_card)
