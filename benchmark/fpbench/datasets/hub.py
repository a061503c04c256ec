"""GM datasets on the Hugging Face Hub: pinned by commit, told apart when missing or closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fpbench.datasets.layout import MANIFEST
from fpbench.errors import BadInput

_IGNORED = ["*.part", ".build/*"]
_INSTEAD = (
    "Or build a dataset yourself (`fpbench data build NAME --out FOLDER`) and pass its folder."
)


@contextmanager
def told(repository: str, revision: str | None = None) -> Iterator[None]:
    """Turn the Hub client's errors into sentences that name the repository and the remedy.

    Raises:
        BadInput: Instead of any error of the Hub or of the network.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f" at revision {revision}" if revision else ""
    try:
        yield
    except GatedRepoError as error:
        raise BadInput(
            f"The Hub dataset {repository} is gated: accept its terms on its page, then log in "
            "with `hf auth login` or set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise BadInput(
            f"The Hub has no dataset {repository}, or it is private and no valid token was given "
            f"(`hf auth login`, or HF_TOKEN). {_INSTEAD}"
        ) from error
    except RevisionNotFoundError as error:
        raise BadInput(
            f"The Hub dataset {repository} has no revision {revision!r}; leave it out for the "
            "newest, or take a commit from its page."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise BadInput(
            f"The Hub dataset {repository}{at} is not in the local cache and the Hub cannot be "
            f"reached (no network, or offline mode). Pull it once while online (`fpbench data "
            f"pull {repository}`). {_INSTEAD}"
        ) from error
    except HFValidationError as error:
        raise BadInput(f"{repository!r} is no id of a Hub dataset; write OWNER/NAME.") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise BadInput(
                f"The Hub refuses access to {repository} (status {status}): log in with `hf auth "
                "login`, or set HF_TOKEN to a token that may read or write it."
            ) from error
        raise BadInput(
            f"The Hub failed on {repository}{at} (status {status}); try again later. {_INSTEAD}"
        ) from error
    except OSError as error:
        # The client's network errors derive from OSError in some versions; a full disk does too.
        if error.errno is not None and error.filename is not None:
            raise
        raise BadInput(
            f"The Hub cannot be reached for {repository}{at} ({type(error).__name__}). {_INSTEAD}"
        ) from error


def fetch_manifest(repository: str, revision: str | None, *, offline: bool) -> tuple[str, Path]:
    """Fetch the manifest of a Hub dataset alone.

    Args:
        repository: ``OWNER/NAME``.
        revision: Commit, branch or tag; None is the newest.
        offline: Open no connection.

    Returns:
        The commit, and the local folder of its snapshot, which holds at least the manifest.

    Raises:
        BadInput: If it cannot be had.
    """
    from huggingface_hub import snapshot_download

    # Unlike a download of the one file it fails at once without a network, and does not retry.
    with told(repository, revision):
        folder = Path(
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision,
                local_files_only=offline,
                allow_patterns=[MANIFEST],
            )
        )
    if not (folder / MANIFEST).is_file():
        at = f" at revision {revision}" if revision else ""
        raise BadInput(
            f"The Hub dataset {repository}{at} has no {MANIFEST}, so fpbench did not build it. "
            f"{_INSTEAD}"
        )
    return folder.name, folder


def fetch(repository: str, commit: str, *, offline: bool) -> Path:
    """Fetch all files of a Hub dataset at a commit; those that are here are not fetched again.

    Returns:
        The local folder of the snapshot.

    Raises:
        BadInput: If it cannot be had.
    """
    from huggingface_hub import snapshot_download

    with told(repository, commit):
        folder = snapshot_download(
            repository,
            repo_type="dataset",
            revision=commit,
            local_files_only=offline,
            ignore_patterns=_IGNORED,
        )
    return Path(folder)


def fetch_files(repository: str, files: Sequence[str], revision: str | None = None) -> list[Path]:
    """Fetch files of any Hub dataset, e.g. the Parquet files of CIFAR-10.

    Args:
        repository: ``OWNER/NAME``.
        files: Paths within it; ``*`` stands for any characters.
        revision: Commit, branch or tag; None is the newest.

    Raises:
        BadInput: If one cannot be had.
    """
    from huggingface_hub import snapshot_download

    with told(repository, revision):
        folder = Path(
            snapshot_download(
                repository, repo_type="dataset", revision=revision, allow_patterns=list(files)
            )
        )
    paths = sorted({path for pattern in files for path in folder.glob(pattern)})
    if not paths:
        raise BadInput(
            f"The Hub dataset {repository} has no files {', '.join(files)}; correct hub.files of "
            "the recipe's origin."
        )
    return paths
