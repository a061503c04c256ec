"""Finds a dataset by name, folder or Hub id, once: one object that says what it is and loads it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.datasets.built import BuiltFolder, HubCopy
from fpbench.datasets.card import is_labelled
from fpbench.datasets.dataset import ResolvedDataset
from fpbench.datasets.folders import ImageFolder
from fpbench.datasets.hub import fetch_description
from fpbench.datasets.imagefiles import told_path
from fpbench.datasets.layout import MANIFEST, RECIPE
from fpbench.datasets.named import resolve_name
from fpbench.datasets.reference import HUB, Reference, parse_reference
from fpbench.datasets.splitting import SPLIT_SETTINGS, rule_of
from fpbench.datasets.synthetic import SyntheticDataset, is_synthetic, settings_of
from fpbench.errors import BadInput, suggest
from fpbench.files import expanded
from fpbench.registry import card_folders

if TYPE_CHECKING:
    from fpbench.method import Progress

TABLES = (".csv", ".parquet", ".tar", ".zip")
"""Files that are labelled datasets."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def resolve(
    ref: str, *, offline: bool = False, progress: Progress | None = None
) -> ResolvedDataset:
    """Find a dataset without decoding it.

    Args:
        ref: Name of a card (``gm-synthetic`` takes ``:KIND[,SNR]``), a folder, built or with one
            folder of images for each source (which takes the settings ``?split=…``, ``reference``
            and ``groups``), ``HUB_ID[@REVISION]`` of a dataset that fpbench built, or a labelled
            dataset: ``hub:HUB_ID[@REVISION]``, a CSV or Parquet file, or a folder of them, each
            with settings (see `fpbench.datasets.labelled.spec`).
        offline: Take what is in the Hub's local cache and open no connection, now or when loading.
        progress: Called as ``progress(what, done, total)`` while the files of a folder are hashed,
            and while a dataset that is not here is downloaded and built.

    Returns:
        The dataset: its `identity` and `description`, and `load`.

    Raises:
        BadInput: If there is no such dataset, it is not built, or it cannot be reached.
    """
    reference = parse_reference(ref)
    ref = reference.place
    name, colon, settings = ref.partition(":")
    cards = card_folders()
    if name in cards:
        reference.refuse_others((), "the name of a card")
        if is_synthetic(cards[name]):
            chosen = settings_of(cards[name], settings)
            base = cards.get(chosen.base.partition(":")[0])
            if base is not None and is_synthetic(base):
                raise BadInput(
                    f"{cards[name] / RECIPE}: field synthetic.base is {chosen.base!r}, which is "
                    "made on the fly itself; name a dataset that has images."
                )
            base_found = resolve(chosen.base, offline=offline, progress=progress)
            return SyntheticDataset(chosen, base_found)
        if is_labelled(cards[name]):
            from fpbench.datasets.labelled.card import open_card

            return open_card(cards[name], offline=offline, progress=progress)
        if colon:
            raise BadInput(f"Dataset {name!r} takes no settings, but got {settings!r}.")
        return resolve_name(name, offline=offline, progress=progress)
    if ref.startswith(HUB):
        return _labelled(reference, Path(), offline, progress)
    path = expanded(Path(ref))
    status = _status(path) if ref else None
    if status is not None and _is_labelled(path, reference):
        return _labelled(reference, Path(), offline, progress)
    if status is not None and stat.S_ISDIR(status.st_mode):
        return _in_folder(path, reference, offline, progress)
    if status is not None:
        raise BadInput(
            f"{path} is a file; a dataset is a folder, built by fpbench or with one folder of "
            "images for each source, or a CSV or Parquet file with a column of labels."
        )
    if ref.startswith((".", "/", "~")):
        raise BadInput(f"There is no folder {path}.")
    if _HUB_ID.fullmatch(ref):
        reference.refuse_others((), "a dataset that fpbench built")
        repository, _, revision = ref.partition("@")
        return HubCopy(
            fetch_description(repository, revision or None, offline=offline), offline=offline
        )
    raise BadInput(
        f"There is no dataset {ref!r}. {suggest(name, cards)} Or pass a folder or a Hub id."
    )


def _is_labelled(path: Path, reference: Reference) -> bool:
    """Whether a file, or settings of columns, say that labels stand in a column."""
    if path.is_dir():
        return bool({"image", "label", "real"} & set(reference.settings)) and not any(
            (path / name).is_file() for name in (MANIFEST, RECIPE)
        )
    return path.suffix.lower() in TABLES


def _labelled(
    reference: Reference, base: Path, offline: bool, progress: Progress | None
) -> ResolvedDataset:
    from fpbench.datasets.labelled.dataset import LabelledDataset
    from fpbench.datasets.labelled.spec import SETTINGS, spec_of

    reference.refuse_others(SETTINGS, "a labelled dataset")
    spec = spec_of(reference.place, reference.settings)
    return LabelledDataset(spec, base=base, offline=offline, progress=progress)


def _in_folder(
    path: Path, reference: Reference, offline: bool, progress: Progress | None
) -> ResolvedDataset:
    if (path / MANIFEST).is_file():
        reference.refuse_others((), "a built dataset")
        return BuiltFolder(path, offline=offline)
    if (path / RECIPE).is_file() and is_labelled(path):
        from fpbench.datasets.labelled.card import open_card

        reference.refuse_others((), "the card of a labelled dataset")
        return open_card(path, offline=offline, progress=progress)
    if (path / RECIPE).is_file():
        raise BadInput(
            f"{path} has a recipe.yaml but no manifest.json: it is not built, or its build was "
            f"stopped. Run `fpbench data build {path}`."
        )
    reference.refuse_others(SPLIT_SETTINGS, "a folder of images")
    return ImageFolder(path, progress, rule_of(reference.settings))


def _status(path: Path) -> os.stat_result | None:
    """What the system says of a path, or None if nothing is there."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise BadInput(
            f"{told_path(path)} cannot be looked at ({error.strerror or error}); pass another "
            "dataset."
        ) from error
