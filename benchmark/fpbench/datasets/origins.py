"""Where the images of a recipe come from: each origin yields uint8 images of the recipe's size."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets.decoding import decode
from fpbench.datasets.traces import file_traits
from fpbench.distribution import install_command
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.origin_schema import (
        DiffusersOrigin,
        FolderOrigin,
        ParquetOrigin,
        Preprocess,
        ZooOrigin,
    )
    from fpbench.method import Progress

SHARED_VARIABLE = "FPBENCH_SHARED_DATA"
"""Environment variable naming a folder that holds files which recipes refer to."""

_BATCH = 128
_IMAGES = {".png", ".jpg", ".jpeg", ".webp"}

Batches = Iterator["NDArray[np.uint8]"]


@dataclass(frozen=True)
class Workplace:
    """What drawing images may use.

    Attributes:
        recipe: Folder of the recipe, which relative paths start from.
        scratch: Folder for checkpoints.
        size: Height and width of every image.
        training: Real images (N, S, S, 3) to train on, memory-mapped.
        device: A torch device.
        progress: Called as ``progress(what, done, total)``, or None.
    """

    recipe: Path
    scratch: Path
    size: int
    training: NDArray[np.uint8]
    device: str
    progress: Progress | None


def preprocess(pixels: NDArray[np.uint8], steps: Preprocess, place: str) -> NDArray[np.uint8]:
    """Crop the centre and resize, as a recipe says.

    Args:
        pixels: (H, W, 3).
        steps: Crop and resize.
        place: What to call the image in a message.

    Raises:
        BadInput: If the image is smaller than the crop.
    """
    from PIL import Image

    if steps.crop is not None:
        height, width = pixels.shape[:2]
        if min(height, width) < steps.crop:
            raise BadInput(
                f"{place} is {height}x{width} pixels, smaller than the recipe's preprocess.crop of "
                f"{steps.crop}."
            )
        top, left = (height - steps.crop) // 2, (width - steps.crop) // 2
        pixels = pixels[top : top + steps.crop, left : left + steps.crop]
    if steps.resize is not None and pixels.shape[:2] != (steps.resize, steps.resize):
        image = Image.fromarray(np.ascontiguousarray(pixels))
        resized = image.resize((steps.resize, steps.resize), Image.Resampling.BICUBIC)
        pixels = np.asarray(resized)
    return pixels


class ImageFiles:
    """A sequence of encoded images that is read in order, never all at once.

    Attributes:
        paths: Image files, or Parquet files.
        total: Number of images.
        name: A short name for ids.
        kinds: Kinds of the files read so far, with how many there were of each.
    """

    def __init__(self, origin: ParquetOrigin | FolderOrigin, recipe: Path, size: int) -> None:
        """Find the files.

        Raises:
            BadInput: If they are nowhere; the message says where they were looked for.
        """
        self._origin = origin
        self._size = size
        self._steps = origin.preprocess
        self.kinds: Counter[str] = Counter()
        if origin.kind == "folder":
            folder = _resolve(origin.path, recipe)
            if folder is None or not folder.is_dir():
                raise BadInput(
                    f"The recipe's folder {origin.path!r} is not there; give its path relative to "
                    f"{recipe} or to the folder that {SHARED_VARIABLE} names."
                )
            self.paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES)
            self.total = len(self.paths)
            self.name = folder.name
        else:
            self.paths, is_hub = _parquet_files(origin, recipe)
            if is_hub and origin.hub is not None and origin.hub.preprocess is not None:
                self._steps = origin.hub.preprocess
            self.total = max(0, sum(map(_rows, self.paths)) - origin.first)
            self.name = _short_name(origin)

    def read(self, chosen: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Images (S, S, 3) at ascending positions, each with its position.

        Raises:
            BadInput: If an image cannot be decoded, or is not of the recipe's size after
                preprocessing.
        """
        for position, place, data in self._encoded(chosen):
            pixels = decode(data, place)
            self.kinds[file_traits(data).label()] += 1
            pixels = preprocess(pixels, self._steps, place)
            if pixels.shape[:2] != (self._size, self._size):
                raise BadInput(
                    f"{place} is {pixels.shape[0]}x{pixels.shape[1]} pixels after preprocessing, "
                    f"but the recipe's size is {self._size}; set preprocess.crop or "
                    "preprocess.resize of this origin."
                )
            yield position, pixels

    def _encoded(self, chosen: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        if self._origin.kind == "folder":
            for position in chosen:
                path = self.paths[position]
                yield position, str(path), path.read_bytes()
            return
        import pyarrow.parquet as pq

        wanted = {position + self._origin.first for position in chosen}
        row = 0
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                column = _image_column(file.schema_arrow, self._origin.column, path)
                for batch in file.iter_batches(batch_size=_BATCH, columns=[column]):
                    data = batch.column(0).field("bytes")
                    for index in range(len(data)):
                        if row in wanted:
                            place = f"row {row} of {path}"
                            yield row - self._origin.first, place, data[index].as_py()
                        row += 1


def _resolve(path: str, recipe: Path) -> Path | None:
    """The first place where `path` is: as it stands, beside the recipe, in the shared folder."""
    shared = os.environ.get(SHARED_VARIABLE)
    places = [recipe / path, *([Path(shared) / path] if shared else [])]
    return next((place for place in places if place.exists()), None)


def _parquet_files(origin: ParquetOrigin, recipe: Path) -> tuple[list[Path], bool]:
    """The files, and whether they came from the Hub."""
    if origin.path is not None:
        found = _resolve(origin.path, recipe)
        if found is not None:
            return (sorted(found.glob("*.parquet")) if found.is_dir() else [found]), False
    if origin.hub is not None:
        from fpbench.datasets import hub

        return hub.fetch_files(origin.hub.id, origin.hub.files, origin.hub.revision), True
    raise BadInput(
        f"The recipe's Parquet file {origin.path!r} is not there; give its path relative to "
        f"{recipe} or set {SHARED_VARIABLE} to the folder that holds it."
    )


def _short_name(origin: ParquetOrigin) -> str:
    """A name for ids that is the same for local files and those of the Hub."""
    parts = Path(origin.path).with_suffix("").parts if origin.path is not None else ()
    return "-".join(parts[-2:]) if parts else str(origin.hub and origin.hub.id.split("/")[-1])


def _image_column(schema: Any, asked: str | None, path: Path) -> str:
    """The column of encoded images: a struct with a field ``bytes``."""
    names = [
        field.name
        for field in schema
        if hasattr(field.type, "num_fields")
        and any(field.type.field(i).name == "bytes" for i in range(field.type.num_fields))
    ]
    if asked is not None and asked in names:
        return asked
    if asked is None and len(names) == 1:
        return str(names[0])
    raise BadInput(
        f"{path} has {'no column ' + repr(asked) if asked else 'no single column'} of images; its "
        f"columns of images are: {', '.join(names) or 'none'}. Set the origin's column."
    )


def _rows(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path} cannot be read as Parquet: {error}.") from error


def draw_zoo(
    origin: ZooOrigin, name: str, key: str, count: int, at: Workplace, facts: dict[str, Any]
) -> Batches:
    """Train a model of the zoo, or take up its training, and sample it.

    Args:
        origin: The model, its seed and limits.
        name: Name of the source.
        key: Names the checkpoint; another origin or other real images have another key.
        count: How many images.
        at: Training images, device and scratch folder.
        facts: Where what is known of the training is put.
    """
    from fpbench.zoo.sample import sample
    from fpbench.zoo.table import model
    from fpbench.zoo.train import train

    trained = train(
        model(origin.model),
        at.training,
        checkpoint=at.scratch / f"{name}-{key[:8]}.safetensors",
        seed=origin.seed,
        device=at.device,
        minutes=origin.minutes,
        steps=origin.steps,
        progress=at.progress,
    )
    facts.update(trained.describe())
    facts["sampling_seed"] = origin.seed
    yield from sample(trained, count, seed=origin.seed, batch=_BATCH)


def draw_files(
    origin: ParquetOrigin | FolderOrigin,
    name: str,
    count: int,
    at: Workplace,
    facts: dict[str, Any],
) -> Batches:
    """The first `count` images of files that somebody else made.

    Raises:
        BadInput: If there are fewer.
    """
    files = ImageFiles(origin, at.recipe, at.size)
    if files.total < count:
        raise BadInput(
            f"Source {name!r}: the recipe's counts ask for {count} images, but its origin has "
            f"{files.total}; lower counts.train, counts.validation or counts.test."
        )
    facts["files"] = files.kinds
    batch: list[NDArray[np.uint8]] = []
    for position, pixels in files.read(range(count)):
        batch.append(pixels)
        if len(batch) == _BATCH or position == count - 1:
            yield np.stack(batch)
            batch = []
            if at.progress is not None:
                at.progress(f"read {name}", position + 1, count)


def draw_diffusers(
    origin: DiffusersOrigin, name: str, count: int, at: Workplace, facts: dict[str, Any]
) -> Batches:
    """Sample a pretrained pipeline from the Hub, unconditionally.

    Raises:
        BadInput: If diffusers is not installed or the pipeline cannot be had.
    """
    try:
        import torch
        from diffusers import DiffusionPipeline
    except ImportError as error:
        raise BadInput(
            f"Source {name!r} needs diffusers, which is not installed; {install_command('zoo')}."
        ) from error
    from fpbench.zoo.sample import quantise

    try:
        pipeline: Any = DiffusionPipeline
        pipeline = pipeline.from_pretrained(origin.pipeline, revision=origin.revision)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"Source {name!r}: the pipeline {origin.pipeline} cannot be had from the Hub: "
            f"{str(error).splitlines()[0]}"
        ) from error
    pipeline = pipeline.to(at.device)
    pipeline.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {}
    if origin.steps is not None:
        options["num_inference_steps"] = origin.steps
    if origin.eta is not None:
        options["eta"] = origin.eta
    facts.update(pipeline=origin.pipeline, sampling_seed=origin.seed, **options)
    size = 8
    for start in range(0, count, size):
        wanted = min(size, count - start)
        # One seed for each batch, so that a build can be repeated from any of them.
        generator = torch.Generator("cpu").manual_seed(origin.seed * 1_000_003 + start)
        drawn = pipeline(batch_size=wanted, generator=generator, output_type="np", **options).images
        batch = quantise(np.asarray(drawn) * 2 - 1)
        place = f"an image of {origin.pipeline}"
        yield np.stack([preprocess(image, origin.preprocess, place) for image in batch])
        if at.progress is not None:
            at.progress(f"sample {name}", start + wanted, count)
