"""Builds a GM dataset from its recipe, one source after the other, resumable after a kill."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench import registry
from fpbench.datasets.builder import Builder
from fpbench.datasets.card import (
    card_folder,
    read_front_matter,
    read_recipe,
    read_sources,
    write_sources,
)
from fpbench.datasets.card_text import put_section, sources_section
from fpbench.datasets.external import REAL_IMAGES, write_list
from fpbench.datasets.finished import (
    CONTACT,
    Finished,
    finished_before,
    manifest_of,
    remove_outdated,
)
from fpbench.datasets.layout import (
    LABELLED_SPLITS,
    MANIFEST,
    README,
    RECIPE,
    SOURCES,
    SPLITS,
    shard_path,
    write_json,
)
from fpbench.datasets.origins.manifests import manifest_path
from fpbench.datasets.outfolder import WORK, check_room, claim
from fpbench.datasets.shards import read_shard
from fpbench.errors import BadInput, suggest
from fpbench.files import CannotWrite, expanded, remove_abandoned, write_bytes
from fpbench.images import REAL

if TYPE_CHECKING:
    from fpbench.datasets.entries import SourceEntry
    from fpbench.datasets.schema import Recipe
    from fpbench.method import Progress

_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO,
}  # fmt: skip


def build(
    name_or_folder: str | Path,
    out: Path,
    *,
    sources: Sequence[str] | None = None,
    recipe_file: str | None = None,
    device: str = "cpu",
    offline: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Build a dataset, or finish a build that was stopped.

    Every source is made once: what is complete in `out` and was made from the same recipe is
    kept. The manifest is written last; without it nothing takes the folder for a dataset.
    Whatever can be refused is refused before anything is written.

    Args:
        name_or_folder: Name of a card, or a folder with recipe.yaml, sources.yaml and README.md.
        out: Folder to build in; may be the card's own.
        sources: Generators to build, or None for all that can be built.
        recipe_file: Another recipe of the same card, e.g. ``recipe-two.yaml``; None is the one
            that the name stands for.
        device: A torch device to train and sample on.
        offline: Whether the Hub may not be asked.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        `out`.

    Raises:
        BadInput: If the recipe is wrong, an origin is not available, `out` holds something else, or
            the disk is full.
    """
    card, out = card_folder(name_or_folder), expanded(out)
    recipe_file = recipe_file or registry.recipe_file(str(name_or_folder))
    if not (card / recipe_file).is_file():
        there = ", ".join(path.name for path in sorted(card.glob("recipe*.yaml")))
        raise BadInput(f"The card {card} has no recipe {recipe_file!r}, only {there}.")
    recipe = read_recipe(card, recipe_file)
    if recipe.real is None:
        raise BadInput(f"Dataset {recipe.name!r} is made on the fly; there is nothing to build.")
    chosen = _chosen(recipe, sources, card)
    read_front_matter(card)
    entries = read_sources(card)
    described = _described(recipe, entries)
    own = _is_own(card, out, recipe_file)
    check_room(
        out,
        recipe.name,
        [*_written(recipe, chosen), *([] if own else recipe.card_files)],
        [f"data/{split}" for split in SPLITS],
        own=own,
    )
    work = out / WORK
    finished = finished_before(out, work)
    builder = Builder(
        recipe,
        card,
        out,
        work,
        device=device,
        progress=progress,
        finished=finished,
        offline=offline,
    )
    builder.check(chosen)
    with _kept(out):
        claim(out, recipe.name)
        remove_abandoned(out)
        for name, record in finished.items():
            # The manifest, which says so too, is not there while building.
            record.save(name, work)
        (out / MANIFEST).unlink(missing_ok=True)
        if not own:
            write_bytes(out / README, (card / README).read_bytes())
            write_bytes(out / RECIPE, (card / recipe_file).read_bytes())
            for name in recipe.card_files:
                write_bytes(out / name, manifest_path(name, card).read_bytes())
        # The card may describe the sources of its other recipes, too.
        write_sources(out / SOURCES, {**entries, **described} if own else described)
        records = {REAL: builder.real()}
        for name in chosen:
            records[name] = builder.generator(name)
        _refuse_equal_images(out, records)
        remove_outdated(out, finished, records)
        manifest = manifest_of(recipe, records)
        if manifest["external"]:
            write_list(out)
        put_section(out, "sources", sources_section(recipe, described, manifest))
        write_json(out / MANIFEST, manifest)
    return out


def _chosen(recipe: Recipe, sources: Sequence[str] | None, card: Path) -> list[str]:
    """Generators to build, in the order of the recipe."""
    described = read_sources(card)
    missing = [name for name in (REAL, *recipe.sources) if name not in described]
    if missing:
        raise BadInput(
            f"{card / SOURCES} does not describe the source {', '.join(map(repr, missing))} of "
            f"{RECIPE}; add its family, architecture and design."
        )
    available = [name for name, origin in recipe.sources.items() if origin.why_missing() is None]
    if sources is None:
        return available
    for name in sources:
        if name not in recipe.sources:
            raise BadInput(
                f"Dataset {recipe.name!r} has no source {name!r}. {suggest(name, available)}"
            )
        reason = recipe.sources[name].why_missing()
        if reason is not None:
            raise BadInput(f"Source {name!r} cannot be built: {reason}")
    return [name for name in available if name in sources]


def _is_own(card: Path, out: Path, recipe_file: str) -> bool:
    """Whether a dataset is built in its card's own folder, which is its recipe.yaml's alone."""
    try:
        own = out.exists() and out.samefile(card)
    except OSError:
        own = False
    if own and recipe_file != RECIPE:
        raise BadInput(
            f"{recipe_file} cannot be built in the card's own folder, which belongs to "
            f"{RECIPE}; build into another folder."
        )
    return own


def _written(recipe: Recipe, chosen: Sequence[str]) -> Iterator[str]:
    """Paths that a build writes, within its folder."""
    yield from (README, RECIPE, SOURCES)
    if recipe.real is not None and not recipe.real.published:
        yield REAL_IMAGES
    for name in (REAL, *chosen):
        yield f"{CONTACT}/{name}.png"
        for split in SPLITS if name == REAL else LABELLED_SPLITS:
            yield shard_path(split, name)


def _described(recipe: Recipe, entries: dict[str, SourceEntry]) -> dict[str, SourceEntry]:
    """Entries of the recipe's sources, those of the zoo as its table has them today."""
    return {REAL: entries[REAL]} | {
        name: origin.described(entries[name]) for name, origin in recipe.sources.items()
    }


@contextmanager
def _kept(out: Path) -> Iterator[None]:
    """Say what is kept where the disk fails."""
    kept = "Sources that are complete are kept; run the same command again."
    try:
        yield
    except CannotWrite as error:
        raise BadInput(f"{error} {kept}") from error
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            place = error.filename or out
            raise BadInput(f"Cannot write {place}: {error.strerror}. {kept}") from error
        raise


def _refuse_equal_images(out: Path, records: dict[str, Finished]) -> None:
    """Refuse a dataset in which an image stands twice: it would not load.

    All images are written by one program, so equal pixels are equal bytes.
    """
    owners: dict[bytes, str] = {}
    for record in records.values():
        for path in record.files:
            for image in read_shard(out / path):
                digest = hashlib.blake2b(image.read(), digest_size=16).digest()
                first = owners.setdefault(digest, image.place)
                if first is not image.place:
                    raise BadInput(
                        f"{image.place} and {first} are the same image. No image may stand twice "
                        "in a dataset; take it out of one of the two origins."
                    )
