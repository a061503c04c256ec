"""gm-synthetic is made from gm-mini's splits and never shares an image between them."""

from __future__ import annotations

import numpy as np
import pytest

from fpbench.datasets.resolve import resolve
from fpbench.datasets.synthetic import FORMS, form, squeeze
from fpbench.errors import BadInput
from fpbench.images import REAL, ImageSet

SPLITS = ("reference", "train", "validation", "test")


def _canonical(images: np.ndarray) -> set[bytes]:
    """One name for all eight forms of an image."""
    forms = np.stack([form(images, number) for number in range(FORMS)])
    return {
        min(np.ascontiguousarray(f).tobytes() for f in column) for column in forms.swapaxes(0, 1)
    }


def test_no_crop_is_in_two_splits_in_any_form() -> None:
    dataset = resolve("gm-synthetic:none").load()
    names: dict[str, set[bytes]] = {}
    for split in SPLITS:
        images: ImageSet = getattr(dataset, split)
        names[split] = _canonical(images.pixels)
    for index, one in enumerate(SPLITS):
        for other in SPLITS[index + 1 :]:
            assert not names[one] & names[other]


def test_every_source_has_every_crop_once() -> None:
    dataset = resolve("gm-synthetic:none").load()
    base = resolve("gm-mini").load().test.of_source(REAL).pixels
    expected = _canonical(squeeze(base))
    for source in dataset.sources:
        images = dataset.test.of_source(source.name).pixels
        assert len(images) == len(base)
        assert _canonical(images) == expected


def test_all_images_differ() -> None:
    dataset = resolve("gm-synthetic:mixed").load()
    every = [image.tobytes() for split in SPLITS for image in getattr(dataset, split).pixels]
    assert len(set(every)) == len(every)


def test_real_comes_first_and_labels_fit() -> None:
    dataset = resolve("gm-synthetic:mixed").load()
    assert dataset.sources[0].name == REAL and dataset.sources[0].is_real
    assert [s.name for s in dataset.sources[1:]] == [
        "pattern-1",
        "pattern-2",
        "kernel-1",
        "kernel-2",
        "colour-1",
        "colour-2",
    ]
    assert np.bincount(dataset.test.labels).tolist() == [150] * 7
    assert set(dataset.reference.labels) == {0}
    assert dataset.fdr_dimensions <= dataset.fdr_samples / 8


def test_identity_follows_the_settings() -> None:
    default, same = resolve("gm-synthetic").identity, resolve("gm-synthetic:pattern,0").identity
    assert default == same
    others = {
        resolve(f"gm-synthetic:{text}").identity.content_hash for text in ("kernel", "pattern,3")
    }
    assert len(others | {default.content_hash}) == 3
    assert (
        resolve(resolve("gm-synthetic:kernel,-6").identity.name).identity
        == resolve("gm-synthetic:kernel,-6dB").identity
    )


def test_the_same_name_makes_the_same_images() -> None:
    one, two = resolve("gm-synthetic:mixed,3").load(), resolve("gm-synthetic:mixed,3").load()
    assert (one.train.pixels == two.train.pixels).all()


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("gm-synthetic:kernels", "no kind 'kernels'. Did you mean kernel?"),
        ("gm-synthetic:pattern,loud", "'loud' is no signal-to-noise ratio"),
        ("gm-synthetic:pattern,nan", "'nan' is no signal-to-noise ratio"),
        ("gm-mini:pattern", "'gm-mini' takes no settings"),
    ],
)
def test_wrong_settings_are_told(ref: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolve(ref).load()
    assert message in str(caught.value)
