"""``fpbench data``: GM datasets, their cards, how they are built, audited and hosted."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.called import called
from fpbench.cli.listing import text_table
from fpbench.cli.options import (
    PathName,
    build_option,
    dataset_options,
    dataset_settings,
    offline_option,
)
from fpbench.errors import BadInput, visible
from fpbench.registry import card_folders, recipe_file

if TYPE_CHECKING:
    from fpbench.datasets.card import CardSummary
    from fpbench.datasets.publish import Contents


@click.group()
def data() -> None:
    """List, describe, build, audit and host GM datasets."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_datasets(as_json: bool) -> None:
    """List all dataset cards."""
    from fpbench.datasets.card import summary

    rows = []
    faults = []
    for name, folder in card_folders().items():
        try:
            rows.append(summary(folder, recipe_file(name)))
        except BadInput as error:
            faults.append(str(error))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        shown = [
            (
                row.name,
                "" if row.size is None else f"{row.size}x{row.size}",
                f"{row.available}/{row.sources}",
                "" if row.images is None else f"{row.images:,}",
                f"{row.title}\n{_state(row)}",
            )
            for row in rows
        ]
        headings = ("dataset", "pixels", "sources", "images", "what it is")
        click.echo(text_table(headings, shown, right=(1, 2, 3)))
    for fault in faults:
        click.echo(f"Warning: {fault}", err=True)


def _state(row: CardSummary) -> str:
    """Whether a dataset can be used at once, how large it is, by which licence and for what."""
    from fpbench.datasets.downloads.wanted import told_bytes

    download = "" if row.download is None else f"{told_bytes(row.download)} in all"
    purpose = "a development set: no board" if row.purpose != "board" else ""
    return ", ".join(part for part in (row.state, download, row.licence, purpose) if part)


@data.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show_dataset(name: str, as_json: bool) -> None:
    """Show the card of one dataset: sources, counts, protocol, text."""
    from fpbench.datasets.card import (
        card_folder,
        is_labelled,
        local_build,
        read_manifest,
        read_recipe,
        read_sources,
        summary,
    )
    from fpbench.images import REAL

    folder, file = card_folder(name), recipe_file(name)
    if is_labelled(folder):
        _show_labelled(folder, as_json)
        return
    recipe = read_recipe(folder, file)
    described = read_sources(folder)
    # A card may describe sources of its other recipes.
    own = {key: described[key] for key in (REAL, *recipe.sources) if key in described}
    sources = own if recipe.sources else described
    brief = summary(folder, file)
    built = local_build(name)
    manifest = None if built is None else read_manifest(built)
    if as_json:
        document = {
            "summary": asdict(brief),
            "recipe": recipe.model_dump(mode="json"),
            "sources": {key: entry.model_dump(mode="json") for key, entry in sources.items()},
            "manifest": None if manifest is None else manifest.model_dump(mode="json"),
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"{recipe.name}: {recipe.title}")
    revision = "not built here" if manifest is None else f"revision {manifest.revision}"
    click.echo(f"{revision}, {recipe.size}x{recipe.size}, {brief.state}, {folder}")
    if recipe.purpose == "development":
        click.echo("a development set, on which settings of methods are chosen; boards refuse it")
    counts = recipe.counts.model_dump()
    click.echo("images per source: " + ", ".join(f"{k} {v}" for k, v in counts.items() if v))
    click.echo(f"FDR-v1 with n = {recipe.fdr.samples}, d = {recipe.fdr.dimensions}")
    click.echo("\nSources")
    width = max((len(key) for key in sources), default=0)
    for key, entry in sources.items():
        origin = recipe.sources.get(key)
        kind = "" if origin is None else f" [{origin.kind}]"
        click.echo(f"  {key:<{width}}  {entry.family}, {entry.architecture}{kind}")
        reason = None if origin is None else origin.why_missing()
        if reason:
            click.echo(f"  {'':<{width}}  not available: {reason}")
        elif entry.summary:
            click.echo(f"  {'':<{width}}  {entry.summary}")
    click.echo(f"\nThe card: {folder / 'README.md'}")


def _show_labelled(folder: Path, as_json: bool) -> None:
    """Show the card of a dataset that is read where it lies."""
    from fpbench.datasets.card import read_sources, summary
    from fpbench.datasets.downloads.wanted import told_bytes
    from fpbench.datasets.labelled.card import read_card

    card, brief, sources = read_card(folder), summary(folder), read_sources(folder)
    if as_json:
        document = {
            "summary": asdict(brief),
            "recipe": card.model_dump(mode="json"),
            "sources": {key: entry.model_dump(mode="json") for key, entry in sources.items()},
            "manifest": None,
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"{card.name}: {card.title}")
    size = "size not known" if brief.download is None else f"{told_bytes(brief.download)} in all"
    click.echo(f"{brief.state}, {size}, licence {brief.licence or 'not stated'}, {folder}")
    if card.unavailable:
        click.echo(f"not available: {card.unavailable}")
    spec = card.labelled
    if spec is not None:
        place = f"hub:{spec.hub}" if spec.hub else str(spec.path)
        amount = f"{spec.images} images of each source" if spec.images else "all images"
        click.echo(f"{place}, images in {spec.image or '?'}, labels in {spec.label or 'label'}; "
                   f"{amount}")  # fmt: skip
    click.echo(card.whole.seen)
    click.echo("\nSources")
    width = max((len(key) for key in sources), default=0)
    for key, entry in sources.items():
        click.echo(f"  {key:<{width}}  {entry.family}, {entry.architecture}")
    click.echo(f"\nThe card: {folder / 'README.md'}")


@data.command("build")
@click.argument("name")
@click.option("--out", type=PathName(file_okay=False), default=None,
              help="Folder of the built dataset; by default its name.")  # fmt: skip
@click.option("--source", "sources", multiple=True, help="Only this source; may be repeated.")
@click.option("--recipe", "other", default=None, metavar="FILE",
              help="Another recipe of the same card, e.g. recipe-two.yaml.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@offline_option
def build_dataset(
    name: str,
    out: Path | None,
    sources: tuple[str, ...],
    other: str | None,
    device: str,
    offline: bool,
) -> None:
    """Build a dataset from its recipe: train, sample, write, check. Resumes after a kill."""
    from fpbench.cli.progress import progress_bars
    from fpbench.compute.device import pick_device
    from fpbench.datasets.build import build
    from fpbench.datasets.card import card_folder, read_recipe
    from fpbench.datasets.layout import RECIPE

    folder, file = card_folder(name), other or recipe_file(name)
    # Another recipe of a card makes another dataset, which must not take the first one's place.
    further = file != RECIPE and (folder / file).is_file()
    default = read_recipe(folder, file).name if further else folder.name
    target = Path(default) if out is None else out
    with progress_bars(f"build {default}") as progress:
        built = build(
            folder,
            target,
            sources=sources or None,
            recipe_file=file,
            device=pick_device(device),
            offline=offline,
            progress=progress,
        )
    click.echo(f"built    {built}")
    # A name without a separator would be taken for that of a card.
    place = built if len(built.parts) > 1 else f".{os.sep}{built}"
    click.echo(f"run      {called()} run --method prnu --dataset {place}")


@data.command("new")
@click.argument("name")
@click.option("--from", "reference", required=True, metavar="hub:OWNER/NAME|FILE|FOLDER",
              help="The dataset: images and labels are columns of it.")  # fmt: skip
@click.option("--out", type=PathName(file_okay=False), default=None,
              help="Folder of the card; by default its name.")  # fmt: skip
@dataset_options
@offline_option
def new_dataset(name: str, reference: str, out: Path | None, offline: bool, **options: Any) -> None:
    """Write the card and recipe of a dataset with a column of labels."""
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.labelled.new import new_card
    from fpbench.datasets.reference import with_settings

    asked = with_settings(reference, dataset_settings(options))
    target = Path(name) if out is None else out
    with progress_bars(f"look at {reference}") as progress:
        found = new_card(name, asked, target, offline=offline, progress=progress)
    sources = ", ".join(source.name for source in found.description.sources)
    click.echo(f"wrote    {target} (README.md, recipe.yaml, sources.yaml)")
    click.echo(f"sources  {visible(sources)}")
    click.echo(f"images   {visible(found.brought)}")
    place = target if len(target.parts) > 1 else f".{os.sep}{target}"
    click.echo(f"run      {called()} run --method prnu --dataset {place}")


@data.command("audit")
@click.argument("name", metavar="NAME|FOLDER|HUB_ID")
@click.option("--write", is_flag=True, help="Write audit.json and the card's section into it; into "
              "a folder of images, audit.json and audit.md.")  # fmt: skip
@click.option(
    "--card",
    type=PathName(exists=True, file_okay=False),
    default=None,
    help="Write them into this card instead, whose images are kept elsewhere.",
)
@offline_option
@build_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def audit_dataset(name: str, write: bool, card: Path | None, offline: bool, as_json: bool) -> None:
    """Distrust a dataset: duplicates, codec history, clipping, and what baselines reach."""
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.audit import audit
    from fpbench.datasets.audit_text import as_text, write_beside, write_into, write_into_card
    from fpbench.datasets.card import built_folder, card_folder, is_card, is_labelled
    from fpbench.datasets.reference import parse_reference

    # Found before the audit, which takes minutes and would be lost.
    written = None
    if write and is_card(name) and is_labelled(card_folder(name)):
        written = card_folder(name)
    elif write and (is_card(name) or not Path(parse_reference(name).place).is_dir()):
        written = built_folder(name)
    built = built_folder(name) if card is not None else None
    if card is not None:
        card_folder(card)
    with progress_bars(f"audit {name}") as progress:
        report = audit(name, offline=offline, progress=progress)
    if written is not None:
        write_into(report, written)
    elif write and report.folder is not None:
        for path in write_beside(report, report.folder):
            click.echo(f"Wrote {path}", err=True)
    if card is not None and built is not None:
        write_into_card(report, built, card)
    click.echo(json.dumps(report.document, indent=2) if as_json else as_text(report), nl=as_json)


@data.command("pull")
@click.argument("repository", metavar="OWNER/NAME[@REVISION]")
@click.option("--out", type=PathName(file_okay=False), default=None,
              help="Copy it to this folder; by default it stays in the Hub's cache.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Take what is in the Hub's cache.")
def pull_dataset(repository: str, out: Path | None, offline: bool) -> None:
    """Fetch a dataset from the Hub and check every file."""
    from fpbench.datasets.publish import pull

    commit, folder = pull(repository, out, offline=offline)
    click.echo(f"pulled   {folder}")
    click.echo(f"pinned   {repository.partition('@')[0]}@{commit}")


def _would_push(contents: Contents, repository: str) -> str:
    from fpbench.datasets.downloads.wanted import told_bytes

    told = f"would push {len(contents.files)} files, {told_bytes(contents.size)}, to {repository}"
    if contents.withheld:
        told += (
            f"; without the images of {', '.join(contents.withheld)}, which may not be published"
        )
    return told


def _push_all(namespace: str | None, *, dry_run: bool, private: bool) -> None:
    """Push every built card, or say what that would do."""
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.publish_all import namespace_of, plan_all, push_all

    plans = plan_all(namespace_of(namespace))
    width = max((len(plan.name) for plan in plans), default=0)
    problems = False
    if dry_run:
        for plan in plans:
            told = plan.reason or _would_push(plan.contents, plan.repository)  # type: ignore[arg-type]
            click.echo(f"{plan.name:<{width}}  {visible(told)}", err=plan.fault)
            problems = problems or plan.fault
    else:
        with progress_bars("push all") as progress:
            for done in push_all(plans, private=private, progress=progress):
                plan = done.plan
                told = f"pushed to {plan.repository}@{done.commit}" if done.commit else plan.reason
                told = done.problem or told
                click.echo(f"{plan.name:<{width}}  {visible(told)}", err=bool(done.problem))
                problems = problems or bool(done.problem)
    if problems:
        raise SystemExit(1)


@data.command("push")
@click.argument("name", required=False)
@click.option("--repo-id", default=None, metavar="OWNER/NAME", help="Where to push it.")
@click.option("--all", "everything", is_flag=True, help="Push every built card, each to "
              "NAMESPACE/CARD, and note its place in its recipe.")  # fmt: skip
@click.option("--namespace", default=None, metavar="OWNER", help="Of --all: user or organisation; "
              "by default FPBENCH_HUB_NAMESPACE, or whose the token is.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be pushed; ask and change nothing.")
@click.option("--private", is_flag=True, help="A repository made here is private.")
@click.option("--message", default=None, help="Commit message.")
def push_dataset(
    name: str | None,
    repo_id: str | None,
    everything: bool,
    namespace: str | None,
    dry_run: bool,
    private: bool,
    message: str | None,
) -> None:
    """Push a built dataset to the Hub in one commit, or all of them."""
    from fpbench.datasets.card import built_folder
    from fpbench.datasets.publish import contents_of, push

    if everything:
        if name is not None or repo_id is not None or message is not None:
            raise click.UsageError("--all takes no NAME, no --repo-id and no --message.")
        _push_all(namespace, dry_run=dry_run, private=private)
        return
    if name is None or repo_id is None:
        raise click.UsageError("Give NAME and --repo-id OWNER/NAME, or --all.")
    if dry_run:
        click.echo(_would_push(contents_of(built_folder(name)), repo_id))
        return
    pushed = push(built_folder(name), repo_id, private=private, message=message)
    click.echo(f"pushed   {len(pushed.files)} files to {pushed.repository}@{pushed.commit}")
    if pushed.withheld:
        click.echo(f"withheld {', '.join(pushed.withheld)}: their images may not be published")
