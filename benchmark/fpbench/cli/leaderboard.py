"""``fpbench leaderboard``: boards from records, checked, as a site, published."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fpbench.cli.options import PathName

if TYPE_CHECKING:
    from fpbench.leaderboard.archive.collect import Problem

_root = click.option(
    "--root", type=PathName(), default=Path("leaderboards"), show_default=True,
    help="The leaderboards' folder.",
)  # fmt: skip
_records_url = click.option(
    "--records-url", default="", metavar="URL",
    help="Web address at which the leaderboards' folder can be read, to link records to.",
)  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def leaderboard() -> None:
    """Build, check and publish boards from records."""


def _tell(problems: Iterable[Problem]) -> None:
    for problem in problems:
        click.echo(f"Problem: {problem}", err=True)


@leaderboard.command("build")
@_root
def build_boards(root: Path) -> None:
    """Make the Markdown boards from all records; ends with 1 if a record could not be used."""
    from fpbench.leaderboard.output.build import build

    files, problems = build(root)
    _tell(problems)
    for path in files:
        click.echo(path)
    if problems:
        sys.exit(1)


@leaderboard.command("check")
@_root
@click.option("--since", metavar="REVISION", default=None,
              help="A git revision: score what changed since, and look for drift.")  # fmt: skip
@click.option("--rescore/--no-rescore", default=True, help="Score stored predictions again.")
@click.option("--jobs", type=click.IntRange(1, 1024), default=None,
              help="Processes that score at the same time; by default one a core.")  # fmt: skip
@_json
def check_boards(
    root: Path, since: str | None, rescore: bool, jobs: int | None, as_json: bool
) -> None:
    """Check records, boards and scores; ends with 1 if anything is wrong."""
    from fpbench.cli.progress import progress_bars
    from fpbench.compute.threads import thread_count
    from fpbench.leaderboard.audit.check import check

    jobs = thread_count() if jobs is None else jobs
    with progress_bars("leaderboard check") as progress:
        report = check(root, since=since, rescore=rescore, jobs=jobs, progress=progress)
    if as_json:
        document = {
            "records": report.records,
            "rescored": report.rescored,
            "changed": None if report.changed is None else [e.link for e in report.changed],
            "problems": [{"where": p.where, "message": p.message} for p in report.problems],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _tell(report.problems)
        changed = "" if report.changed is None else f", {len(report.changed)} changed"
        click.echo(
            f"{report.records} records{changed}, {report.rescored} scored again, "
            f"{len(report.problems)} problems"
        )
    if report.problems:
        sys.exit(1)


_since = click.option(
    "--since", metavar="REVISION", default=None, help="Only of records changed since."
)


@leaderboard.command("packages")
@_root
@_since
def list_packages(root: Path, since: str | None) -> None:
    """Print the packages whose methods have records, as NAME==VERSION."""
    from fpbench.leaderboard.audit.check import changed_entries, packages_of

    for package in packages_of(changed_entries(root, since)):
        click.echo(package)


@leaderboard.command("methods")
@_root
@_since
def list_methods(root: Path, since: str | None) -> None:
    """Print the methods that have records, as NAME:VARIANT, one a line."""
    from fpbench.leaderboard.audit.check import changed_entries, methods_of

    for method in methods_of(changed_entries(root, since)):
        click.echo(method)


@leaderboard.command("site")
@_root
@click.option("--out", type=PathName(), required=True, help="Folder of the site.")
@_records_url
def make_site(root: Path, out: Path, records_url: str) -> None:
    """Make the static site: open index.html in it, or put the folder on any server."""
    from fpbench.leaderboard.output.site.write import write_site

    pages, problems = write_site(root, out, records_url=records_url)
    _tell(problems)
    click.echo(f"{out / 'index.html'} and {pages - 1} more pages")
    if problems:
        sys.exit(1)


@leaderboard.command("publish")
@_root
@click.option("--to", "target", required=True, metavar="DIR|spaces/OWNER/NAME",
              help="A folder, or a static Space on the Hub.")  # fmt: skip
@click.option("--hub-dataset", "mapping", multiple=True, metavar="DATASET=OWNER/NAME",
              help="Hub id of a dataset, for the Hub's benchmark format.")  # fmt: skip
@_records_url
def publish_site(root: Path, target: str, mapping: tuple[str, ...], records_url: str) -> None:
    """Publish the site with downloads, and results in the Hub's benchmark format."""
    from fpbench.leaderboard.hub.publish import publish

    address, problems = publish(root, target, mapping, records_url=records_url)
    _tell(problems)
    click.echo(address)
    if problems:
        sys.exit(1)
