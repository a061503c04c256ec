"""Publishes the site with downloads and Hub results: to a folder, or to a static Space."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.files import write_text
from fpbench.hub import hub_errors
from fpbench.leaderboard.archive.collect import Problem
from fpbench.leaderboard.hub.results import hub_files, parse_mapping
from fpbench.leaderboard.output.build import read_leaderboards
from fpbench.leaderboard.output.site.write import MARKER, make_site

SPACE = "spaces/"
_SPACE_ID = re.compile(r"[\w.-]+/[\w.-]+")
_OTHER_REPOSITORY = re.compile(r"(datasets|models)/[\w.-]+/[\w.-]+")

_README = """---
title: fpbench leaderboards
sdk: static
app_file: index.html
pinned: false
license: mit
tags:
  - leaderboard
  - fpbench
---

# fpbench leaderboards

Fingerprints of generative models: which method names the model behind an image? Made by
`fpbench leaderboard publish` from records that `fpbench verify` can follow.
"""


def publish(
    root: Path, target: str, mapping: Sequence[str] = (), *, records_url: str = ""
) -> tuple[str, tuple[Problem, ...]]:
    """Make the site and put it where it is read.

    Args:
        root: The leaderboards' folder.
        target: A folder, or ``spaces/OWNER/NAME`` for a static Space on the Hub, which is made if
            it is not there.
        mapping: ``DATASET=OWNER/NAME`` each: Hub ids of datasets, for results in the Hub's format.
        records_url: Web address of the leaderboards' folder, to link records to; or empty.

    Returns:
        Where it lies, and what could not be used.

    Raises:
        BadInput: If the target cannot be written to.
    """
    name = target.removeprefix("hf://")
    if not name.startswith(SPACE):
        if name != target or re.match(r"\w+://", target):
            raise BadInput(f"{target!r} is neither a folder nor {SPACE}OWNER/NAME.")
        if _OTHER_REPOSITORY.fullmatch(target) and not Path(target).is_dir():
            raise BadInput(
                f"{target} names a repository on the Hub that is no Space; write "
                f"{SPACE}OWNER/NAME, or ./{target} for a folder."
            )
        problems = _write(root, Path(target), mapping, records_url)
        return str(Path(target) / "index.html"), problems
    repository = name.removeprefix(SPACE)
    if not _SPACE_ID.fullmatch(repository):
        raise BadInput(f"{target!r} is no Space; write {SPACE}OWNER/NAME.")
    with tempfile.TemporaryDirectory(prefix="fpbench-site-") as folder:
        site = Path(folder) / "site"
        problems = _write(root, site, mapping, records_url)
        (site / MARKER).unlink()
        write_text(site / "README.md", _README)
        return _upload(site, repository), problems


def _write(root: Path, out: Path, mapping: Sequence[str], records_url: str) -> tuple[Problem, ...]:
    leaderboards = read_leaderboards(root)
    ids = parse_mapping(mapping, leaderboards.boards)
    extra = hub_files(leaderboards.boards, ids, records_url)
    _, problems = make_site(leaderboards, out, records_url=records_url, extra=extra)
    return problems


def _upload(site: Path, repository: str) -> str:
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise BadInput(
            "Publishing to the Hub needs a token that may write: run `hf auth login`, or set "
            "HF_TOKEN."
        )
    api = HfApi()
    with hub_errors("Space", repository):
        url = api.create_repo(repository, repo_type="space", space_sdk="static", exist_ok=True)
        api.upload_folder(
            folder_path=site,
            repo_id=repository,
            repo_type="space",
            commit_message="Publish the leaderboards",
            # Pages of methods that are gone must not stay.
            delete_patterns=["*.html", "*/**"],
        )
    return str(url)
