"""Where the images of a source may come from, as a recipe writes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """A model that refuses unknown keys: a misspelt option never silently means its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocess(Strict):
    """How an image of an origin becomes an image of the dataset, in this order.

    Attributes:
        crop: Side in pixels of the square cut from the centre, before resizing.
        resize: Side in pixels of the result; Pillow's antialiased bicubic filter, which for a
            whole-number reduction after a crop is the same for every source.
    """

    crop: int | None = Field(default=None, gt=0)
    resize: int | None = Field(default=None, gt=0)


class ZooOrigin(Strict):
    """A model that fpbench trains on the dataset's real images.

    Attributes:
        model: A row of the table in `fpbench.zoo.table`.
        seed: Of training and of sampling.
        minutes: Time limit of the training.
        steps: Limit of optimisation steps, or None for the time limit alone.
    """

    kind: Literal["zoo"]
    model: str
    seed: int = 0
    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)


class PhotographsOrigin(Strict):
    """Crops of the photographs that scikit-image and scikit-learn ship."""

    kind: Literal["photographs"]


class HubFiles(Strict):
    """Parquet files in a dataset repository on the Hub.

    Attributes:
        id: ``OWNER/NAME``.
        files: Files within the repository; ``*`` stands for any characters.
        revision: Commit, or None for the newest.
        preprocess: Crop and resize where they differ from those of local files.
    """

    id: str
    files: list[str] = Field(min_length=1)
    revision: str | None = None
    preprocess: Preprocess | None = None


class ParquetOrigin(Strict):
    """Images in Parquet files of the Hugging Face layout, local or on the Hub.

    Attributes:
        path: A file or a folder of files, absolute, relative to the recipe, or relative to the
            folder that FPBENCH_SHARED_DATA names.
        hub: Where to take them from if `path` is not there.
        column: Name of the image column; None is the only one there is.
        first: Row to start at.
        preprocess: Crop and resize.
    """

    kind: Literal["parquet"]
    path: str | None = None
    hub: HubFiles | None = None
    column: str | None = None
    first: int = Field(0, ge=0)
    preprocess: Preprocess = Field(default_factory=Preprocess)

    @model_validator(mode="after")
    def _somewhere(self) -> ParquetOrigin:
        if self.path is None and self.hub is None:
            raise ValueError("give `path`, `hub` or both")
        return self


class FolderOrigin(Strict):
    """Image files in one folder, in the order of their names.

    Attributes:
        path: The folder, absolute or relative to the recipe.
        preprocess: Crop and resize.
    """

    kind: Literal["folder"]
    path: str
    preprocess: Preprocess = Field(default_factory=Preprocess)


class DiffusersOrigin(Strict):
    """A pretrained `diffusers` pipeline by Hub id, sampled unconditionally.

    Attributes:
        pipeline: Hub model id.
        revision: Commit of the model repository.
        steps: Denoising steps, or None for the pipeline's own number.
        eta: DDIM's eta where the scheduler takes one.
        seed: Of sampling.
        preprocess: Crop and resize.
    """

    kind: Literal["diffusers"]
    pipeline: str
    revision: str | None = None
    steps: int | None = Field(None, gt=0)
    eta: float | None = Field(None, ge=0)
    seed: int = 0
    preprocess: Preprocess = Field(default_factory=Preprocess)


class UnavailableOrigin(Strict):
    """A source of the paper's list that cannot be built yet; it is listed, never dropped.

    Attributes:
        reason: Why not.
    """

    kind: Literal["unavailable"]
    reason: str = Field(min_length=10)


Origin = Annotated[
    ZooOrigin
    | PhotographsOrigin
    | ParquetOrigin
    | FolderOrigin
    | DiffusersOrigin
    | UnavailableOrigin,
    Field(discriminator="kind"),
]
