"""GM datasets on the Hugging Face Hub: pinned by commit, told apart when missing or closed."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fpbench.datasets.cache import cache_root
from fpbench.datasets.layout import MANIFEST, RECIPE, SOURCES
from fpbench.errors import BadInput
from fpbench.files import SCRATCH, read_limited, write_text
from fpbench.hub import hub_errors

_Result = TypeVar("_Result")

_DESCRIPTION = [MANIFEST, RECIPE, SOURCES]
_IGNORED = [f"*{SCRATCH}*", ".build/*"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_INSTEAD = (
    "Or build a dataset yourself (`fpbench data build NAME --out FOLDER`) and pass its folder."
)

LOOKUP_SECONDS = 15.0
"""How long a look-up on the Hub may take, names of hosts included."""


@dataclass(frozen=True)
class Snapshot:
    """A dataset on the Hub at one commit.

    Attributes:
        repository: ``OWNER/NAME`` as the Hub has it; a renamed dataset is found by its old name.
        folder: Local folder, named by the commit, which holds manifest, recipe and sources.
    """

    repository: str
    folder: Path

    @property
    def commit(self) -> str:
        """The commit."""
        return self.folder.name


def told(
    repository: str, revision: str | None = None, *, labelled: bool = False
) -> AbstractContextManager[None]:
    """As `hub_errors`, of a dataset.

    Args:
        repository: ``OWNER/NAME``.
        revision: The revision asked for, or None.
        labelled: Whether it is somebody else's, which cannot be built or pulled instead.

    Raises:
        BadInput: Instead of any error of the Hub or of the network.
    """
    if labelled:
        return hub_errors("dataset", repository, revision)
    return hub_errors(
        "dataset", repository, revision, instead=_INSTEAD, pull=f"fpbench data pull {repository}"
    )


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a commit's full name, behind which nothing changes."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def fetch_description(repository: str, revision: str | None, *, offline: bool) -> Snapshot:
    """Fetch manifest, recipe and sources of a Hub dataset, but no images.

    A commit that is here is not asked for. Where the Hub cannot answer, what is in its local
    cache is taken.

    Args:
        repository: ``OWNER/NAME``.
        revision: Commit, branch or tag; None is the newest.
        offline: Open no connection.

    Raises:
        BadInput: If it is not available.
    """
    known = None
    with told(repository, revision):
        if revision is not None and _COMMIT.fullmatch(revision):
            known = _cached(_name_of(repository), revision)
        if known is None:
            known = Snapshot(*_had(repository, revision, _DESCRIPTION, offline))
    if not (known.folder / MANIFEST).is_file():
        at = f" at revision {revision}" if revision else ""
        raise BadInput(
            f"The Hub dataset {repository}{at} has no {MANIFEST}, so fpbench did not build it. "
            f"{_INSTEAD}"
        )
    return known


def _had(
    repository: str, revision: str | None, files: Sequence[str], offline: bool
) -> tuple[str, Path]:
    """The Hub's name of a dataset, and a local folder with some of its files.

    Where the Hub cannot answer, what lies in its local cache will do; what went wrong is raised
    only if nothing does.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    name, missed = _name_of(repository), None
    if not offline:
        try:
            name, _ = look_up(repository, revision)
        # The client raises many types; `told` has a sentence for each.
        except Exception as error:
            missed = error
    try:
        return name, _download(name, revision, files, offline=offline or missed is not None)
    except LocalEntryNotFoundError:
        if missed is not None:
            raise missed from None
        raise


def look_up(repository: str, revision: str | None) -> tuple[str, str]:
    """The name that the Hub gives a dataset, for a renamed one the new one, and its commit.

    It is one question without retries: a client that lists the files of a commit asks for 25 s
    where there is no network.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    info = _within(
        LOOKUP_SECONDS, lambda: api.dataset_info(repository, revision=revision, timeout=10)
    )
    _remember(repository, str(info.id))
    return str(info.id), str(info.sha)


def _download(name: str, revision: str | None, files: Sequence[str], *, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        name,
        repo_type="dataset",
        revision=revision,
        allow_patterns=list(files),
        local_files_only=offline,
    )
    return Path(folder)


def _cached(name: str, revision: str) -> Snapshot | None:
    """The snapshot in the Hub's local cache, or None if it is not there with its description."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = _download(name, revision, _DESCRIPTION, offline=True)
    except LocalEntryNotFoundError:
        return None
    whole = all((folder / file).is_file() for file in _DESCRIPTION)
    return Snapshot(name, folder) if whole else None


def _within(seconds: float, call: Callable[[], _Result]) -> _Result:
    """What `call` returns, if it does so in time.

    Raises:
        TimeoutError: If it does not. Looking up the name of a host knows no time limit, so the
            thread is left behind.
        Exception: Whatever `call` raises.
    """
    done: list[_Result] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return done[0]


def _names() -> Path:
    return cache_root() / "hub-names"


def _name_of(repository: str) -> str:
    """The name that the Hub last gave a dataset that was asked for by this one."""
    path = _names() / repository.replace("/", "--")
    if path.is_file():
        with contextlib.suppress(BadInput):
            return read_limited(path, "name", 1024).strip() or repository
    return repository


def _remember(repository: str, name: str) -> None:
    if name != _name_of(repository):
        # Without a cache that can be written, the old name is not found offline.
        with contextlib.suppress(BadInput):
            write_text(_names() / repository.replace("/", "--"), f"{name}\n")


def fetch(snapshot: Snapshot, *, offline: bool) -> Path:
    """Fetch all files of a Hub dataset at its commit; those that are here are not fetched again.

    Returns:
        The local folder of the snapshot.

    Raises:
        BadInput: If it is not available.
    """
    from huggingface_hub import snapshot_download

    with told(snapshot.repository, snapshot.commit):
        if not offline:
            look_up(snapshot.repository, snapshot.commit)
        folder = snapshot_download(
            snapshot.repository,
            repo_type="dataset",
            revision=snapshot.commit,
            local_files_only=offline,
            ignore_patterns=_IGNORED,
        )
    return Path(folder)


def fetch_files(
    repository: str, files: Sequence[str], revision: str | None = None, *, offline: bool = False
) -> list[Path]:
    """Fetch files of any Hub dataset, e.g. the Parquet files of CIFAR-10.

    Args:
        repository: ``OWNER/NAME``.
        files: Paths within it; ``*`` stands for any characters.
        revision: Commit, branch or tag; None is the newest.
        offline: Open no connection.

    Raises:
        BadInput: If one is not available.
    """
    with told(repository, revision):
        _, folder = _had(repository, revision, files, offline)
    paths = sorted({path for pattern in files for path in folder.glob(pattern)})
    if not paths:
        raise BadInput(
            f"The Hub dataset {repository} has no files {', '.join(files)}; correct hub.files of "
            "the recipe's origin."
        )
    return paths
