"""Publishes every built card in one go, and notes in each card where its images are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from fpbench.datasets import hub
from fpbench.datasets.card import built_folder, is_labelled, read_manifest, read_recipe
from fpbench.datasets.layout import RECIPE
from fpbench.datasets.publish import Contents, contents_of, push
from fpbench.datasets.synthetic import is_synthetic
from fpbench.errors import BadInput
from fpbench.files import read_limited, write_text
from fpbench.registry import card_folders

if TYPE_CHECKING:
    from fpbench.method import Progress

NAMESPACE_VARIABLE = "FPBENCH_HUB_NAMESPACE"
"""Environment variable naming the user or organisation whose datasets are pushed and pulled."""

_BLOCK = re.compile(r"^hub:.*\n(?:[ \t]+.*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Planned:
    """What is to be done with one card.

    Attributes:
        name: Name of the card.
        card: Its folder.
        built: Folder of the built dataset, or None.
        repository: Where it is to go.
        contents: What is to be pushed, or None.
        reason: Why it is left alone; empty if it is pushed.
        fault: Whether the reason is a fault to be mended.
    """

    name: str
    card: Path
    built: Path | None
    repository: str
    contents: Contents | None
    reason: str = ""
    fault: bool = False


@dataclass(frozen=True)
class Published:
    """What was done with one card.

    Attributes:
        plan: What was to be done.
        commit: The commit on the Hub, or None where nothing was pushed.
        problem: What went wrong, or empty.
    """

    plan: Planned
    commit: str | None = None
    problem: str = ""


def namespace_of(asked: str | None) -> str:
    """The user or organisation that is pushed to: as asked, of the environment, or the token's.

    Raises:
        BadInput: If none is known.
    """
    named = asked or os.environ.get(NAMESPACE_VARIABLE)
    if named:
        if not re.fullmatch(r"[\w.-]+", named):
            raise BadInput(f"{named!r} is no name of a user or organisation on the Hub.")
        return named
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise BadInput(
            f"Whose datasets are these? Give --namespace, set {NAMESPACE_VARIABLE}, or log in with "
            "`hf auth login`."
        )
    with hub.told("the account"):
        return str(HfApi().whoami()["name"])


def plan_all(namespace: str, names: Sequence[str] = ()) -> list[Planned]:
    """What pushing every card would do; nothing is asked or changed.

    Args:
        namespace: User or organisation.
        names: Cards; all where empty.
    """
    cards = card_folders()
    return [_planned(name, cards[name], namespace) for name in names or cards]


def _planned(name: str, card: Path, namespace: str) -> Planned:
    repository = f"{namespace}/{name}"
    if is_labelled(card):
        return Planned(name, card, None, repository, None, "is read where it lies, by others")
    if is_synthetic(card):
        return Planned(name, card, None, repository, None, "is made on the fly")
    try:
        built = built_folder(name)
    except BadInput:
        return Planned(name, card, None, repository, None, "is not built here")
    try:
        return Planned(name, card, built, repository, contents_of(built))
    except BadInput as error:
        return Planned(name, card, built, repository, None, str(error), fault=True)


def push_all(
    plans: Sequence[Planned], *, private: bool = False, progress: Progress | None = None
) -> Iterator[Published]:
    """Push every planned dataset; what fails is told, and the others go on.

    After each, its recipe says where its images are: ``hub: {id, revision, content_hash}``.

    Args:
        plans: Of `plan_all`.
        private: Whether repositories that are made here are private.
        progress: Called as ``progress(what, done, total)``.
    """
    todo = [plan for plan in plans if plan.contents is not None]
    done = 0
    for plan in plans:
        if plan.contents is None or plan.built is None:
            yield Published(plan, problem=plan.reason if plan.fault else "")
            continue
        try:
            pushed = push(plan.built, plan.repository, private=private)
            note_place(plan, pushed.commit)
        except BadInput as error:
            yield Published(plan, problem=str(error))
        else:
            yield Published(plan, pushed.commit)
        done += 1
        if progress is not None:
            progress("push", done, len(todo))


def note_place(plan: Planned, commit: str) -> None:
    """Write where the images of a dataset are into its recipe, in the card and in the built copy.

    Raises:
        BadInput: If a recipe cannot be written.
    """
    assert plan.built is not None  # noqa: S101
    manifest = read_manifest(plan.built)
    place = {"id": plan.repository, "revision": commit, "content_hash": manifest.content_hash}
    block = yaml.safe_dump({"hub": place}, sort_keys=False)
    recipe = read_recipe(plan.built)
    for folder in dict.fromkeys((plan.card, plan.built)):
        path = folder / RECIPE
        if read_recipe(folder).name != recipe.name:
            continue
        text = read_limited(path, "recipe")
        text = text if text.endswith("\n") else f"{text}\n"
        found = _BLOCK.search(text)
        written = _BLOCK.sub(lambda _: block, text, count=1) if found else text + block
        write_text(path, written)
