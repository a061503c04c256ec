"""``photographs``: crops of photographs that scikit-image and scikit-learn ship.

They are the real images of ``gm-mini``.

Every photograph is cut into square blocks, each block belongs to one split, and no crop crosses
a block's border: crops of different splits come from disjoint regions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fpbench.datasets.duplicates import near_duplicates
from fpbench.datasets.equalise import reduce_area
from fpbench.datasets.layout import SPLITS
from fpbench.datasets.origins.origin import Origin, RealImages
from fpbench.distribution import install_command
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Counts

CROP = 32

_ID = re.compile(r"(?P<photograph>[a-z]+)-(?P<top>\d{4})-(?P<left>\d{4})(-\d)?")
_REGION = 96  # pixels: the widest blocks that are assigned to splits


@dataclass(frozen=True)
class Photograph:
    """One photograph.

    Attributes:
        name: Short name, part of the ids of its crops.
        package: The package that ships it.
        path: The file within that package.
        reduce: Whole-number reduction by area mean before cropping: 2 where the file is a JPEG
            or shows the 8x8 grid of one, 4 where that grid survives a reduction by 2.
        block: Side in pixels of the blocks that are assigned to splits, after the reduction.
        licence: As the package states it.
        origin: Who made it, as the package states it.
    """

    name: str
    package: str
    path: str
    reduce: int
    block: int
    licence: str
    origin: str


PHOTOGRAPHS = (
    Photograph(
        "astronaut",
        "skimage",
        "data/astronaut.png",
        1,
        96,
        "public domain (no known copyright restrictions)",
        "NASA Great Images database: Eileen Collins",
    ),
    Photograph("chelsea", "skimage", "data/chelsea.png", 1, 96, "CC0", "Stéfan van der Walt"),
    Photograph(
        "coffee",
        "skimage",
        "data/coffee.png",
        1,
        96,
        "CC0",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar",
    ),
    Photograph(
        "ihc",
        "skimage",
        "data/ihc.png",
        2,
        64,
        "no known copyright restrictions",
        "Center for Microscopy and Molecular Imaging (CMMI): stained colonic glands",
    ),
    Photograph(
        "rocket",
        "skimage",
        "data/rocket.jpg",
        2,
        64,
        "public domain",
        "SpaceX: launch of DSCOVR on Falcon 9",
    ),
    Photograph(
        "hubble",
        "skimage",
        "data/hubble_deep_field.jpg",
        2,
        96,
        "public domain",
        "NASA, HubbleSite: Hubble eXtreme Deep Field",
    ),
    Photograph(
        "retina",
        "skimage",
        "data/retina.jpg",
        4,
        64,
        "CC0",
        "Mikael Häggström, doi 10.15347/wjm/2014.008",
    ),
    Photograph(
        "china",
        "sklearn",
        "datasets/images/china.jpg",
        2,
        64,
        "CC BY 2.0",
        "danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/",
    ),
    Photograph(
        "flower",
        "sklearn",
        "datasets/images/flower.jpg",
        2,
        64,
        "CC BY 2.0",
        "vultilion (attributed to danielbuechele in scikit-learn's notice), "
        "https://www.flickr.com/photos/vultilion/6056698931/",
    ),
)

# Shares of the blocks of every photograph. Reference crops may overlap among themselves and need
# fewer pixels each; the others may not.
_SHARES = {"reference": 0.44, "train": 0.24, "validation": 0.07, "test": 0.25}
_REFERENCE_STRIDE = 8
# A crop whose luminance varies less shows nothing but noise and the codec.
_FLAT = 6.0
# Two crops whose pixels differ by less than this many levels (root mean square, after removing
# each one's mean) are near duplicates.
_NEAR = 4.0


@dataclass(frozen=True)
class Crop:
    """Where a crop was taken, in pixels of the reduced photograph.

    Attributes:
        photograph: Its name.
        top: First row.
        left: First column.
        split: The split whose block it lies in.
    """

    photograph: str
    top: int
    left: int
    split: str

    @property
    def id(self) -> str:
        """Distinct name of the crop."""
        return f"{self.photograph}-{self.top:04d}-{self.left:04d}"


def region_of(crop: str) -> str | None:
    """The region of a photograph that a crop was cut from, by the crop's id.

    Regions are squares of 96 pixels of a photograph; a crop belongs to the one that holds its
    first pixel. Crops of different regions that do not overlap share no pixel.

    Args:
        crop: Its id; that of a form of it in a synthetic dataset ends in the form's number.

    Returns:
        A name of the region, or None for an id that is no crop's of these photographs.

    >>> region_of("coffee-0104-0428"), region_of("coffee-0136-0396"), region_of("dcgan-0001-0002")
    ('coffee 1 4', 'coffee 1 4', None)
    """
    found = _ID.fullmatch(crop)
    if found is None or found["photograph"] not in {entry.name for entry in PHOTOGRAPHS}:
        return None
    place = (int(found[axis]) // _REGION for axis in ("top", "left"))
    return " ".join([found["photograph"], *map(str, place)])


@cache
def photograph(name: str) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of a photograph after its reduction.

    Raises:
        BadInput: If the package that ships it is not installed, or ships it no more.
        KeyError: If no photograph has this name.
    """
    from PIL import Image

    entry = {entry.name: entry for entry in PHOTOGRAPHS}[name]
    spec = find_spec(entry.package)
    if spec is None or spec.origin is None:
        raise BadInput(
            f"Photograph {name!r} comes with {entry.package}, which is not installed; "
            f"{install_command('zoo')}."
        )
    path = Path(spec.origin).parent / entry.path
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read, which {entry.package} used to ship; install another version "
            f"of it: {install_command('zoo')}."
        ) from error
    return reduce_area(pixels, entry.reduce)


def _blocks(entry: Photograph, seed: int) -> dict[tuple[int, int], str]:
    """Top-left corners of a photograph's blocks, each with its split."""
    height, width = photograph(entry.name).shape[:2]
    side = entry.block
    # Blocks start so that what is left over is shared by both borders.
    tops = range((height % side) // 2, height - side + 1, side)
    lefts = range((width % side) // 2, width - side + 1, side)
    corners = [(top, left) for top in tops for left in lefts]
    order = np.random.default_rng([seed, *entry.name.encode()]).permutation(len(corners))
    edges = np.round(np.cumsum([_SHARES[split] for split in SPLITS]) * len(corners)).astype(int)
    splits = np.searchsorted(edges, np.arange(len(corners)), side="right")
    return {corners[index]: SPLITS[split] for index, split in zip(order, splits, strict=True)}


def candidates(seed: int) -> list[Crop]:
    """All crops that are not flat, by split: a grid in each block, denser in `reference`."""
    crops: list[Crop] = []
    for entry in PHOTOGRAPHS:
        pixels = photograph(entry.name)
        luminance = pixels @ np.array([0.299, 0.587, 0.114])
        for (top, left), split in sorted(_blocks(entry, seed).items()):
            stride = _REFERENCE_STRIDE if split == "reference" else CROP
            for row in range(top, top + entry.block - CROP + 1, stride):
                for column in range(left, left + entry.block - CROP + 1, stride):
                    if luminance[row : row + CROP, column : column + CROP].std() >= _FLAT:
                        crops.append(Crop(entry.name, row, column, split))
    return crops


def cut(crops: list[Crop]) -> NDArray[np.uint8]:
    """Pixels (N, 32, 32, 3) of crops."""
    views = [
        photograph(crop.photograph)[crop.top : crop.top + CROP, crop.left : crop.left + CROP]
        for crop in crops
    ]
    return np.stack(views) if views else np.zeros((0, CROP, CROP, 3), np.uint8)


def _distinct(crops: list[Crop]) -> list[Crop]:
    """Crops without those that nearly equal an earlier one."""
    pixels = cut(crops).astype(np.float32).reshape(len(crops), -1)
    pixels -= pixels.mean(axis=1, keepdims=True)
    power = (pixels**2).mean(axis=1)
    products = pixels @ pixels.T / pixels.shape[1]
    near = power[:, None] + power[None, :] - 2 * products < _NEAR**2
    kept = np.zeros(len(crops), bool)
    for index in range(len(crops)):
        kept[index] = not (near[index] & kept).any()
    return [crop for crop, keep in zip(crops, kept, strict=True) if keep]


def _unlike(crops: list[Crop], others: list[Crop]) -> list[Crop]:
    """Crops without those that nearly equal one of `others`, mirrored or not."""
    if not others:
        return crops
    pixels = cut([*others, *crops])
    twins = {
        pair.second - len(others)
        for pair in near_duplicates(lambda chosen: pixels[chosen], len(pixels))
        if pair.first < len(others) <= pair.second
    }
    return [crop for index, crop in enumerate(crops) if index not in twins]


def _balanced(crops: list[Crop], count: int, generator: np.random.Generator) -> list[Crop]:
    """`count` crops, as equally many of every photograph as there are."""
    piles = {
        entry.name: [crop for crop in crops if crop.photograph == entry.name]
        for entry in PHOTOGRAPHS
    }
    shuffled = {
        name: [pile[index] for index in generator.permutation(len(pile))]
        for name, pile in piles.items()
    }
    chosen: list[Crop] = []
    while len(chosen) < count:
        # One of each photograph in turn; those with few crops run out first.
        turn = [pile.pop() for pile in shuffled.values() if pile]
        chosen += turn[: count - len(chosen)]
    return chosen


def choose(counts: dict[str, int], seed: int) -> dict[str, list[Crop]]:
    """Crops of every split, disjoint regions, no near duplicates.

    Args:
        counts: Number of crops by split.
        seed: Of the assignment of blocks to splits and of the choice.

    Raises:
        BadInput: If the photographs hold fewer crops than asked for.
    """
    generator = np.random.default_rng([seed, CROP])
    # Test crops first: of two near duplicates in different splits it is the one kept.
    distinct = _distinct(
        sorted(candidates(seed), key=lambda crop: SPLITS.index(crop.split), reverse=True)
    )
    chosen: dict[str, list[Crop]] = {}
    for split in SPLITS:
        pool = [crop for crop in distinct if crop.split == split]
        pool = _unlike(pool, [crop for crops in chosen.values() for crop in crops])
        if len(pool) < counts[split]:
            raise BadInput(
                f"The photographs hold {len(pool)} crops for the split {split}, but the recipe's "
                f"counts ask for {counts[split]}; lower counts.{split}."
            )
        chosen[split] = _balanced(pool, counts[split], generator)
    return chosen


class PhotographsOrigin(Origin):
    """Crops of the photographs that scikit-image and scikit-learn ship; real images only."""

    kind: Literal["photographs"]

    has_real: ClassVar[bool] = True
    chooses_real: ClassVar[bool] = True

    def real_images(self, counts: Counts, seed: int, size: int) -> RealImages:
        """Crops of disjoint regions for each split; those of `reference` are trained on."""
        if size != CROP:
            raise BadInput(
                f"Crops of photographs are {CROP} pixels wide, but the recipe's size is {size}; "
                f"set size to {CROP}."
            )
        chosen = choose({split: getattr(counts, split) for split in SPLITS}, seed)

        def batches(split: str) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
            yield [crop.id for crop in chosen[split]], cut(chosen[split])

        facts = {
            "origin": self.kind,
            "photographs": {
                entry.name: {"licence": entry.licence, "by": entry.origin, "reduced": entry.reduce}
                for entry in PHOTOGRAPHS
            },
        }
        return RealImages(batches, lambda: cut(chosen["reference"]), facts)
