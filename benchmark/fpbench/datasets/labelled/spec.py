"""What is stated of a labelled dataset: where it is, which columns, which labels are sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from fpbench.datasets.reference import HUB
from fpbench.datasets.splitting import GROUPINGS, SplitRule, rule_of
from fpbench.documents import Document, told
from fpbench.errors import BadInput
from fpbench.images import REAL

OTHERS = "*"
"""Stands for every label that no other source has; each becomes a source of its own name."""

_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")

Names = list[str]


class Labelled(Document):
    """A dataset with an image column and a label column.

    Attributes:
        hub: ``OWNER/NAME`` on the Hub, or None.
        revision: Commit, branch or tag on the Hub; None is the newest.
        config: Name of the Hub dataset's configuration, where it has several.
        path: A Parquet or CSV file, a folder of Parquet files, or a folder of images (a folder
            for each label, with or without folders of splits above), where it is not on the Hub.
        files: Patterns of files within the Hub dataset or folder, in the place of those that its
            page names.
        image: Column of images; for CSV of their paths or URLs. None is the only one there is.
        label: Column of labels; None is ``label``, and of a folder of images its folders.
        sources: Labels by source; ``["*"]`` gives every label that is not named a source of its
            own name. None is that for all.
        real: Labels that are real images.
        skip: Labels whose images are left out; "" stands for none.
        group: Column of what images of one group share (a prompt, scene or person), or None.
        where: Values that a column must have, by column.
        splits: Splits of the dataset that become ``train``, ``validation`` and ``test``; None
            takes those of these names, and where there are none, splits by `split`.
        split: Shares or numbers of train, validation and test, as ``TRAIN/VALIDATION/TEST``,
            over all splits of the dataset together.
        reference: Share or number of real images that become ``reference`` first.
        images: Images of each source at most, those of ``reference`` aside; 0 is all.
        crop: Side in pixels of the square cut from the middle; 0 is the largest that fits nearly
            all images of every source, at most 256.
        resize: Side in pixels that the square is resized to, or None: resizing takes traces away.
        seed: Of the choice of images.
    """

    hub: str | None = None
    revision: str | None = None
    config: str | None = None
    path: str | None = None
    files: Names | None = None
    image: str | None = None
    label: str | None = None
    sources: dict[str, Names] | None = None
    real: Names = Field(default_factory=list)
    skip: Names = Field(default_factory=list)
    group: str | None = None
    where: dict[str, Names] = Field(default_factory=dict)
    splits: dict[str, Names] | None = None
    split: str | None = None
    reference: str | None = None
    images: Annotated[int, Field(ge=0, le=10**9)] = 200
    crop: Annotated[int, Field(ge=0, le=8192)] = 0
    resize: Annotated[int, Field(ge=8, le=8192)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("hub")
    @classmethod
    def _is_id(cls, hub: str | None) -> str | None:
        if hub is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", hub):
            raise ValueError(f"{hub!r} is no id of a Hub dataset; write OWNER/NAME")
        return hub

    @field_validator("split")
    @classmethod
    def _can_split(cls, split: str | None) -> str | None:
        _read({"split": split})
        return split

    @field_validator("reference")
    @classmethod
    def _can_refer(cls, reference: str | None) -> str | None:
        _read({"reference": reference})
        return reference

    @model_validator(mode="after")
    def _whole(self) -> Labelled:
        if (self.hub is None) == (self.path is None):
            raise ValueError("give exactly one of `hub` and `path`")
        if self.crop and self.crop < 8:
            raise ValueError(f"crop is {self.crop}; use 8 pixels or more, or 0")
        if self.splits is not None:
            known = {"reference", "train", "validation", "test"}
            if self.split is not None:
                raise ValueError("give `splits` or `split`, not both")
            if not set(self.splits) <= known or not {"train", "test"} <= set(self.splits):
                raise ValueError("splits must name train and test, and may name validation")
        owners: dict[str, str] = {}
        for source, labels in {**(self.sources or {}), REAL: self.real}.items():
            if source == REAL and self.sources and REAL in self.sources and self.real:
                raise ValueError("sources.real and real are the same; give one of them")
            for label in labels:
                first = owners.setdefault(label, source)
                if first != source:
                    raise ValueError(
                        f"the label {label!r} is given to two sources, {first!r} and {source!r}; "
                        "a label is one source"
                    )
            if source != REAL and not labels:
                raise ValueError(f"the source {source!r} has no labels")
        return self

    @property
    def rule(self) -> SplitRule:
        """How images are split that the dataset does not split."""
        found = rule_of(
            {
                key: value
                for key, value in (("split", self.split), ("reference", self.reference))
                if value is not None
            }
        )
        rule = found or SplitRule()
        return SplitRule(rule.sizes, rule.reference, None, self.seed)

    @property
    def name(self) -> str:
        """A short name: the Hub's, or that of the file or folder."""
        return self.hub or str(self.path).rstrip("/").rpartition("/")[2]


def _read(settings: Mapping[str, str | None]) -> None:
    try:
        rule_of({key: value for key, value in settings.items() if value is not None})
    except BadInput as error:
        raise ValueError(str(error)) from error


SETTINGS = tuple(
    name for name in Labelled.model_fields if name not in ("hub", "revision", "path", "sources")
)
"""Settings of a reference; ``real`` and ``files`` take several values with commas between."""


def spec_of(place: str, settings: Mapping[str, str]) -> Labelled:
    """What a reference states of a labelled dataset.

    Args:
        place: ``hub:OWNER/NAME[@REVISION]``, a file or a folder.
        settings: Settings behind the question mark; ``where`` is ``COLUMN:VALUE,…`` and
            ``splits`` ``train:NAME,test:NAME``.

    Raises:
        BadInput: If a setting cannot be read, with its name.
    """
    stated: dict[str, Any] = dict(settings)
    if place.startswith(HUB):
        match = _ID.fullmatch(place.removeprefix(HUB))
        if match is None:
            raise BadInput(f"{place!r} names no Hub dataset; write hub:OWNER/NAME[@REVISION].")
        stated |= {"hub": match["id"], "revision": match["revision"]}
    else:
        stated["path"] = place
    for name in ("real", "files", "skip"):
        if name in stated:
            stated[name] = [part for part in stated[name].split(",") if part]
    for name in ("where", "splits"):
        if name in stated:
            stated[name] = _pairs(name, stated[name])
    if "groups" in stated:
        raise BadInput(
            f"{place} has a column of groups, if any: write group=COLUMN in the place of groups="
            f"{'|'.join(GROUPINGS)}."
        )
    try:
        return Labelled.model_validate(stated)
    except ValidationError as error:
        raise BadInput(f"The dataset {place}: {told(error).rstrip('.')}.") from error


def _pairs(name: str, text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in text.split(","):
        key, colon, value = part.partition(":")
        if not colon or not key or not value:
            raise BadInput(f"{name}={text!r} cannot be read; write NAME:VALUE,NAME:VALUE.")
        found.setdefault(key, []).append(value)
    return found
