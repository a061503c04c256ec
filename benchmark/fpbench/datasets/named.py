"""A card's name becomes a dataset: a build that is here, a copy on the Hub, or a build made now.

A build that must first download or train is made only where whoever asks has agreed: the command
line asks at a terminal or takes ``--build``; from Python it is ``build=True``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.datasets.build import build
from fpbench.datasets.built import BuiltFolder, HubCopy
from fpbench.datasets.card import build_place, card_folder, local_build, read_recipe
from fpbench.datasets.downloads.fetch import Missing, missing
from fpbench.datasets.hub import fetch_description
from fpbench.datasets.layout import LABELLED_SPLITS
from fpbench.errors import BadInput
from fpbench.hub import is_offline
from fpbench.images import REAL
from fpbench.registry import recipe_file

if TYPE_CHECKING:
    from fpbench.datasets.dataset import ResolvedDataset
    from fpbench.datasets.schema import Recipe
    from fpbench.method import Progress

NAMESPACE_VARIABLE = "FPBENCH_HUB_NAMESPACE"
"""Environment variable: whose copies on the Hub are taken instead of those that cards name."""


@dataclass(frozen=True)
class Work:
    """What building a dataset takes, said before it begins.

    Attributes:
        name: Name of the dataset.
        place: Folder it is built into.
        files: What is downloaded by URL.
        hub: What is asked of the Hub, in words.
        made: Sources that are trained or sampled here.
    """

    name: str
    place: Path
    files: Missing
    hub: tuple[str, ...]
    made: tuple[str, ...]

    @property
    def is_light(self) -> bool:
        """Whether all files are here and nothing is trained: a matter of a minute."""
        return not (self.files.files or self.hub or self.made)

    def __str__(self) -> str:
        """One or two sentences."""
        parts = [f"{self.files} are downloaded"] if self.files.files else []
        parts += [f"{what} is fetched" for what in self.hub]
        if self.made:
            number = len(self.made)
            models = "1 model is" if number == 1 else f"{number} models are"
            parts.append(f"{models} trained or sampled here, which may take hours")
        what = "; ".join(parts) or "all files are here"
        return f"{self.name} is built from its recipe into {self.place}: {what}."


Consent = Callable[[Work], bool]
"""Says whether a build may be made."""

_consent: ContextVar[Consent | None] = ContextVar("consent", default=None)


@contextmanager
def building(consent: Consent | None) -> Iterator[None]:
    """Let datasets that are not here be built within the block.

    Args:
        consent: Asked before each build; None forbids all.
    """
    token = _consent.set(consent)
    try:
        yield
    finally:
        _consent.reset(token)


def resolve_name(
    name: str, *, offline: bool = False, progress: Progress | None = None
) -> ResolvedDataset:
    """The dataset of a card, by the first of three ways that leads there.

    Args:
        name: Name of a card or of one of its further recipes.
        offline: Ask nobody over the network.
        progress: Called as ``progress(what, done, total)`` while downloading and building.

    Raises:
        BadInput: If none does; the message says what each way met.
    """
    here = local_build(name)
    if here is not None:
        return BuiltFolder(here, offline=offline)
    recipe = read_recipe(card_folder(name), recipe_file(name))
    met = [f"(1) It is not built here: neither ./{name} nor the cache has it."]
    repository, revision = _on_hub(recipe)
    if repository is None:
        met.append(f"(2) Its card names no copy on the Hub ({NAMESPACE_VARIABLE} names others').")
    else:
        try:
            return _from_hub(recipe, repository, revision, offline)
        except BadInput as error:
            met.append(f"(2) The Hub: {error}")
    try:
        return BuiltFolder(_built_now(name, recipe, offline, progress), offline=offline)
    except _NotBuilt as error:
        met.append(f"(3) From its recipe: {error}")
    except BadInput as error:
        met.append(f"(3) Building it from its recipe failed: {error}")
    raise BadInput(
        f"Dataset {name!r} cannot be had. {' '.join(met)} Or pass the folder or the Hub id of a "
        "built copy."
    )


class _NotBuilt(BadInput):
    """A build was not begun."""


def work_of(name: str) -> Work:
    """What building a dataset takes on this machine, as it is now.

    Raises:
        BadInput: If its recipe cannot be read.
    """
    card, file = card_folder(name), recipe_file(name)
    recipe = read_recipe(card, file)
    counts = {split: getattr(recipe.counts, split) for split in LABELLED_SPLITS}
    wanted = [file for origin in recipe.real_origins for file in origin.downloads(card, None, REAL)]
    asked = [origin.asks_hub(card) for origin in recipe.real_origins]
    made = []
    for source, origin in recipe.sources.items():
        if origin.why_missing() is None:
            wanted += origin.downloads(card, counts, source)
            asked.append(origin.asks_hub(card))
            if origin.makes:
                made.append(source)
    hub = dict.fromkeys(what for what in asked if what is not None)
    return Work(name, build_place(name), missing(wanted), tuple(hub), tuple(made))


def _built_now(name: str, recipe: Recipe, offline: bool, progress: Progress | None) -> Path:
    from fpbench.compute.device import pick_device

    if all(origin.why_missing() for origin in recipe.sources.values()):
        raise _NotBuilt("none of its generators can be had yet (`fpbench data show` says why).")
    work = work_of(name)
    command = f"`fpbench data build {name}`"
    if work.files.files and (offline or is_offline()):
        raise _NotBuilt(
            f"{work.files} are missing, the first is {work.files.files[0].url}, and offline mode "
            f"forbids to download them. Run {command} while online, or name a folder that holds "
            "the files with FPBENCH_FILES."
        )
    consent = _consent.get()
    if consent is None or not consent(work):
        raise _NotBuilt(f"{work} Agree with --build (from Python: build=True), or run {command}.")
    return build(
        card_folder(name),
        work.place,
        recipe_file=recipe_file(name),
        device=pick_device("auto"),
        offline=offline,
        progress=progress,
    )


def _on_hub(recipe: Recipe) -> tuple[str | None, str | None]:
    """Repository and revision of the copy on the Hub that counts."""
    namespace = os.environ.get(NAMESPACE_VARIABLE)
    if recipe.hub is None:
        return (f"{namespace}/{recipe.name}" if namespace else None), None
    if namespace and namespace != recipe.hub.id.partition("/")[0]:
        # A commit is one of its own repository alone; the content is compared all the same.
        return f"{namespace}/{recipe.hub.id.partition('/')[2]}", None
    return recipe.hub.id, recipe.hub.revision


def _from_hub(
    recipe: Recipe, repository: str, revision: str | None, offline: bool
) -> ResolvedDataset:
    snapshot = fetch_description(repository, revision, offline=offline)
    found = HubCopy(snapshot, offline=offline, name=recipe.name)
    expected = None if recipe.hub is None else recipe.hub.content_hash
    if expected is not None and found.identity.content_hash != expected:
        raise BadInput(
            f"{repository} holds other images than the card says: content hash "
            f"{found.identity.content_hash[:12]}…, not {expected[:12]}…."
        )
    return found
