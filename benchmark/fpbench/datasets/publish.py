"""Pushes built GM datasets to the Hugging Face Hub and pulls them, checked, to a local folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fpbench.datasets import hub
from fpbench.datasets.card import read_front_matter, read_manifest, read_recipe, read_sources
from fpbench.datasets.external import REAL_IMAGES
from fpbench.datasets.finished import CONTACT
from fpbench.datasets.layout import AUDIT, MANIFEST, README, RECIPE, SOURCES, SPLITS
from fpbench.datasets.outfolder import check_room
from fpbench.errors import BadInput
from fpbench.files import expanded, file_sha256, read_limited, writing_file

if TYPE_CHECKING:
    from fpbench.datasets.entries import SourceEntry
    from fpbench.datasets.schema import Manifest

EVAL = "eval.yaml"
"""File by which the Hub knows a dataset to be a benchmark."""

_REQUIRED = ("pretty_name", "license", "tags")
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        repository: ``OWNER/NAME``.
        commit: The commit on the Hub; ``OWNER/NAME@COMMIT`` loads exactly this.
        files: Paths in the repository.
        withheld: Sources whose images were not pushed because they may not be published.
    """

    repository: str
    commit: str
    files: tuple[str, ...]
    withheld: tuple[str, ...]


def size_category(images: int) -> str:
    """The Hub's name for a number of images.

    >>> size_category(12_000)
    '10K<n<100K'
    """
    return next((name for limit, name in _SIZES if images < limit), "n>10M")


def metadata(folder: Path) -> dict[str, Any]:
    """The YAML block of a dataset's card as the Hub shall see it.

    What the card's author writes is kept; size category, configs and splits are those of the
    files that are published.

    Raises:
        BadInput: If the card lacks a licence, a name or tags.
    """
    block = read_front_matter(folder)
    for field in _REQUIRED:
        if not block.get(field):
            raise BadInput(
                f"{folder / README}: field {field} of the YAML block is missing; the Hub and its "
                "readers need it."
            )
    manifest = read_manifest(folder)
    names = _published(manifest)
    images = sum(manifest.files[name].images for name in names)
    splits = [split for split in SPLITS if any(f"data/{split}/" in name for name in names)]
    block["size_categories"] = [size_category(images)]
    block["configs"] = [
        {
            "config_name": "default",
            "data_files": [{"split": split, "path": f"data/{split}/*.parquet"} for split in splits],
        }
    ]
    return block


def citation(sources: dict[str, SourceEntry], manifest: Manifest) -> str:
    """Markdown that cites the paper of every source."""
    cited = {
        sources[name].citation
        for name in manifest.sources
        if name in sources and sources[name].citation
    }
    lines = [f"- {one.rstrip('.')}." for one in sorted(cited)]
    return "\n".join(["## Citation", "", "The models' papers:", "", *lines]) if lines else ""


def evaluation(folder: Path) -> dict[str, Any]:
    """The benchmark that a dataset is, for `EVAL`."""
    recipe, manifest = read_recipe(folder), read_manifest(folder)
    return {
        "name": str(read_front_matter(folder).get("pretty_name", recipe.name)),
        "description": (
            f"{recipe.title}. Attribute an image to one of {len(manifest.sources) - 1} generators; "
            "balanced accuracy, chance "
            f"{1 / max(1, len(manifest.sources) - 1):.3f}. Run: fpbench run --method NAME "
            "--dataset OWNER/NAME."
        ),
        "evaluation_framework": "fpbench",
        "tasks": [{"id": "attribution", "config": "default", "split": "test"}],
    }


def page(folder: Path) -> str:
    """README.md as it is pushed: corrected YAML block, the card's text, citations."""
    page = read_limited(folder / README, "card").replace("\r\n", "\n")
    text = page.split("---\n", 2)[2]
    block = yaml.safe_dump(metadata(folder), sort_keys=False, allow_unicode=True)
    cited = citation(read_sources(folder), read_manifest(folder))
    body = text.rstrip("\n")
    if cited and "## Citation" not in body:
        body += f"\n\n{cited}"
    return f"---\n{block}---\n{body}\n"


def _published(manifest: Manifest) -> list[str]:
    """Data files that may be published."""
    withheld = {f"{name}-00000-of-00001.parquet" for name in manifest.external}
    return [name for name in manifest.files if Path(name).name not in withheld]


def push(
    folder: Path, repository: str, *, private: bool = False, message: str | None = None
) -> Pushed:
    """Push a built dataset to the Hub in one commit.

    The repository is made if it is not there; data files that it holds and the dataset does not
    are deleted. Real images that may not be published are left out.

    Args:
        folder: A built dataset.
        repository: ``OWNER/NAME``.
        private: Whether a repository that is made here is private.
        message: Commit message.

    Raises:
        BadInput: If the dataset is not whole, its card lacks metadata, there is no token, or the
            Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    ready = contents_of(folder)
    manifest, contents = read_manifest(folder), ready.files
    if get_token() is None:
        raise BadInput(
            "Pushing to the Hub needs a token that may write: run `hf auth login`, or set HF_TOKEN."
        )
    api = HfApi()
    with hub.told(repository):
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        there = api.list_repo_files(repository, repo_type="dataset")
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, content) for name, content in contents.items()
        ]
        operations += [
            CommitOperationDelete(name)
            for name in there
            if name.startswith(("data/", f"{CONTACT}/")) and name not in contents
        ]
        done = api.create_commit(
            repository,
            operations,
            commit_message=message or f"{manifest.name} {manifest.revision}",
            repo_type="dataset",
        )
    return Pushed(repository, str(done.oid), tuple(contents), ready.withheld)


@dataclass(frozen=True)
class Contents:
    """What a push of a built dataset would send.

    Attributes:
        files: Files or bytes by path in the repository.
        withheld: Sources whose images are left out because they may not be published; whoever
            pulls the dataset has them from their origin, each checked by its hash.
    """

    files: dict[str, Path | bytes]
    withheld: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(
            len(content) if isinstance(content, bytes) else content.stat().st_size
            for content in self.files.values()
        )


def contents_of(folder: Path) -> Contents:
    """What pushing a built dataset would send; nothing is asked of the Hub.

    Raises:
        BadInput: If the dataset is not whole, or its card lacks metadata.
    """
    manifest = read_manifest(folder)
    names = _published(manifest)
    for name in names:
        path = folder / name
        if not path.is_file() or file_sha256(path) != manifest.files[name].sha256:
            raise BadInput(
                f"{path} is missing or is not the file that was built; build the dataset again "
                "before pushing it."
            )
    contents: dict[str, Path | bytes] = {
        README: page(folder).encode(),
        EVAL: yaml.safe_dump(evaluation(folder), sort_keys=False, allow_unicode=True).encode(),
        RECIPE: folder / RECIPE,
        SOURCES: folder / SOURCES,
        **{name: folder / name for name in read_recipe(folder).card_files},
        MANIFEST: folder / MANIFEST,
        **{name: folder / name for name in names},
    }
    for name in (AUDIT, REAL_IMAGES):
        if (folder / name).is_file():
            contents[name] = folder / name
    for path in sorted((folder / CONTACT).glob("*.png")):
        if path.stem not in manifest.external:
            contents[f"{CONTACT}/{path.name}"] = path
    return Contents(contents, tuple(manifest.external))


def pull(reference: str, out: Path | None = None, *, offline: bool = False) -> tuple[str, Path]:
    """Fetch a dataset from the Hub and check every file against its manifest.

    Args:
        reference: ``OWNER/NAME[@REVISION]``.
        out: Folder to copy it to, or None to leave it in the Hub's local cache.
        offline: Open no connection.

    Returns:
        The commit, and the folder.

    Raises:
        BadInput: If it is not available, or a file is not the one that was pushed.
    """
    repository, at, revision = reference.partition("@")
    if at and not revision:
        raise BadInput(
            f"{reference!r} names no revision after the @; write one, or leave both out."
        )
    found = hub.fetch_description(repository, revision or None, offline=offline)
    manifest = read_manifest(found.folder)
    target = None if out is None else expanded(out)
    if target is not None:
        # Before all is fetched, which may be much.
        _refuse_others(target, manifest, (README, RECIPE, SOURCES, *manifest.files))
    folder = hub.fetch(found, offline=offline)
    for name in _published(manifest):
        path = folder / name
        if not path.is_file() or file_sha256(path) != manifest.files[name].sha256:
            raise BadInput(
                f"{name} of {reference} is missing or its checksum differs from {MANIFEST}; remove "
                f"{folder} and pull again."
            )
    if target is None:
        return found.commit, folder
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    _refuse_others(target, manifest, [path.as_posix() for path in paths])
    _copy(folder, paths, target)
    return found.commit, target


def _refuse_others(out: Path, manifest: Manifest, written: Sequence[str]) -> None:
    """Refuse a folder that holds anything that the copy would replace."""
    folders = [f"data/{split}" for split in SPLITS]
    check_room(out, manifest.name, written, folders, own=False)
    if (out / MANIFEST).is_file():
        held = read_manifest(out)
        if held.revision != manifest.revision:
            raise BadInput(
                f"{out} holds revision {held.revision} of {held.name}; pull into another folder."
            )


def _copy(folder: Path, paths: Sequence[Path], out: Path) -> None:
    """Copy a snapshot, the manifest last; of a copy that fails nothing stays."""
    written: list[Path] = []
    with _undone(out, written):
        for path in sorted(paths, key=lambda path: (path.name == MANIFEST, path)):
            target = out / path
            if not target.exists():
                written.append(target)
            with (folder / path).open("rb") as source, writing_file(target) as scratch:
                with scratch.open("wb") as copy:
                    shutil.copyfileobj(source, copy)


@contextmanager
def _undone(out: Path, written: list[Path]) -> Iterator[None]:
    """Remove what was written if the block fails."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        inner = {folder for path in written for folder in path.parents if out in folder.parents}
        for folder in [*sorted(inner, reverse=True), *made]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
