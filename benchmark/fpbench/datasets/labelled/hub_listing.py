"""What a dataset on the Hub is made of: its files at one commit, their hashes, and its page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from fpbench.datasets import hub
from fpbench.datasets.cache import cache_root
from fpbench.datasets.downloads.fetch import fetch
from fpbench.datasets.folder_layout import SPLIT_NAMES
from fpbench.errors import BadInput
from fpbench.files import parse_json, read_limited, write_text
from fpbench.hub import HubRefused

if TYPE_CHECKING:
    from pathlib import Path

    from fpbench.datasets.downloads.wanted import Wanted

_LARGEST = 256 << 20
_PAGE = "README.md"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes:
        path: Within the repository.
        size: In bytes.
        digest: Its SHA-256 where the Hub tells it (large files), else the name of its Git blob.
    """

    path: str
    size: int
    digest: str

    @property
    def sha256(self) -> str | None:
        """SHA-256 of its bytes, or None where the Hub does not tell it."""
        return self.digest if len(self.digest) == 64 else None


@dataclass(frozen=True)
class Listing:
    """A dataset repository at one commit.

    Attributes:
        repository: ``OWNER/NAME`` as the Hub has it; a renamed dataset is found by its old name.
        commit: The commit.
        files: Its files, by path.
        page: The YAML block of its README.md; empty where there is none.
    """

    repository: str
    commit: str
    files: tuple[HubFile, ...]
    page: dict[str, Any]

    def matching(self, patterns: list[str]) -> list[HubFile]:
        """Files that one of some patterns matches, by path."""
        return [
            file for file in self.files if any(_matches(file.path, pattern) for pattern in patterns)
        ]

    def wanted(self, file: HubFile) -> Wanted:
        """The file as the download room is asked for it."""
        from huggingface_hub import constants, get_token, hf_hub_url

        from fpbench.datasets.downloads.wanted import Wanted

        url = hf_hub_url(
            self.repository,
            file.path,
            repo_type="dataset",
            revision=self.commit,
            endpoint=constants.ENDPOINT,
        )
        token = get_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Wanted(url, file.sha256, file.size, headers)


def list_files(repository: str, revision: str | None, *, offline: bool) -> Listing:
    """The files of a dataset on the Hub; of a commit that was listed before, the Hub is not asked.

    Where the Hub cannot answer, what it answered last is taken.

    Args:
        repository: ``OWNER/NAME``.
        revision: Commit, branch or tag; None is the newest.
        offline: Open no connection: take the listing made last.

    Raises:
        BadInput: If it is not available: gated, private, renamed away, no such revision, or the Hub
            does not answer.
    """
    kept = _kept(repository, revision)
    if kept.is_file() and (offline or hub.is_commit(revision)):
        return _read(kept)
    try:
        with hub.told(repository, revision, labelled=True):
            if offline:
                from huggingface_hub.errors import OfflineModeIsEnabled

                raise OfflineModeIsEnabled
            found = _asked(repository, revision)
    except HubRefused as error:
        if kept.is_file() and not _is_answer(error.__cause__):
            # The Hub cannot answer; what it answered last will do.
            return _read(kept)
        raise
    document = {**asdict(found), "files": [list(asdict(f).values()) for f in found.files]}
    for name in dict.fromkeys((revision, found.commit)):
        write_text(_kept(repository, name), json.dumps(document) + "\n")
    return found


def _is_answer(error: BaseException | None) -> bool:
    """Whether the Hub said that a dataset may not be had, rather than nothing."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    answers = (GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError)
    return isinstance(error, answers)


def _asked(repository: str, revision: str | None) -> Listing:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    name, commit = hub.look_up(repository, revision)
    files = []
    for entry in HfApi().list_repo_tree(name, repo_type="dataset", revision=commit, recursive=True):
        if isinstance(entry, RepoFile):
            digest = entry.lfs.sha256 if entry.lfs is not None else entry.blob_id
            files.append(HubFile(entry.path, entry.size, digest))
    files.sort(key=lambda file: file.path)
    found = Listing(name, commit, tuple(files), {})
    page = next((file for file in files if file.path == _PAGE), None)
    if page is None or not page.size:
        return found
    (path,) = fetch([found.wanted(page)])
    return replace(found, page=_front_matter(read_limited(path, "page")))


def _front_matter(text: str) -> dict[str, Any]:
    parts = text.replace("\r\n", "\n").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        block = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        # Somebody else's page; what it would have said is looked for in the files.
        return {}
    return json.loads(json.dumps(block, default=str)) if isinstance(block, dict) else {}


def _kept(repository: str, revision: str | None) -> Path:
    name = f"{repository}@{revision or ''}".replace("/", "--")
    return cache_root() / "hub-listings" / f"{name}.json"


def _read(path: Path) -> Listing:
    try:
        document = parse_json(read_limited(path, "listing", _LARGEST), path, "listing")
        files = tuple(HubFile(*entry) for entry in document["files"])
        return Listing(document["repository"], document["commit"], files, document["page"])
    except (BadInput, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged; remove it.") from error


def data_files(listing: Listing, config: str | None, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Files that hold a configuration's rows, with the split of each ("" where none is named).

    As the page's ``configs`` say, else as the files' names do.

    Args:
        listing: The dataset.
        config: Its configuration; None is the only or the default one.
        suffixes: Of the files looked for where the page does not say.

    Raises:
        BadInput: If there is no such configuration, or several and none was named.
    """
    stated = _stated(listing, config)
    if stated is not None:
        found: dict[str, str] = {}
        for split, patterns in stated.items():
            for file in listing.matching(patterns):
                found.setdefault(file.path, split)
        return found
    return {
        file.path: split_of(file.path)
        for file in listing.files
        if file.path.lower().endswith(suffixes)
    }


def _stated(listing: Listing, config: str | None) -> dict[str, list[str]] | None:
    configs = [c for c in listing.page.get("configs") or () if isinstance(c, dict)]
    by_name = {str(c.get("config_name", "default")): c for c in configs if c.get("data_files")}
    if config is not None and config not in by_name:
        known = ", ".join(by_name) or "none"
        raise BadInput(
            f"The Hub dataset {listing.repository} has no configuration {config!r}; it has: "
            f"{known}."
        )
    if not by_name:
        return None
    if config is None:
        default = [n for n, c in by_name.items() if c.get("default") or n == "default"]
        if len(by_name) > 1 and len(default) != 1:
            raise BadInput(
                f"The Hub dataset {listing.repository} has several configurations; choose one with "
                f"config=: {', '.join(by_name)}."
            )
        config = default[0] if default else next(iter(by_name))
    chosen = by_name[config]["data_files"]
    if isinstance(chosen, str):
        return {"train": [chosen]}
    found: dict[str, list[str]] = {}
    for entry in chosen:
        if isinstance(entry, str):
            found.setdefault("train", []).append(entry)
            continue
        paths = entry.get("path")
        paths = [paths] if isinstance(paths, str) else list(paths or ())
        found.setdefault(str(entry.get("split", "train")), []).extend(paths)
    return found


def split_of(path: str) -> str:
    """The split that a path names in a folder or at the beginning of its name, or "".

    >>> split_of("data/train-00000-of-00002.parquet"), split_of("val/sd/1.png"), split_of("a.csv")
    ('train', 'val', '')
    """
    parts = PurePosixPath(path).parts
    begin = parts[-1].replace("_", "-").partition("-")[0].partition(".")[0]
    return next((part for part in (begin, *parts[:-1]) if part.lower() in SPLIT_NAMES), "")


def _matches(path: str, pattern: str) -> bool:
    """Whether a path is matched; ``**/`` is any number of folders."""
    if "**" not in pattern:
        same = path.count("/") == pattern.count("/")
        return same and fnmatchcase(path, pattern)
    return fnmatchcase(path, pattern.replace("**/", "*")) or fnmatchcase(
        path, pattern.replace("**/", "")
    )
