"""``fpbench submit``: take finished runs to the leaderboards."""

from __future__ import annotations

from pathlib import Path

import click

from fpbench.cli.options import PathName


@click.command()
@click.argument("runs", nargs=-1, required=True, type=PathName(exists=True))
@click.option("--root", type=PathName(), default=Path("leaderboards"),
              show_default=True, help="The leaderboards' folder.")  # fmt: skip
@click.option("--hub", "repository", metavar="OWNER/NAME", default=None,
              help="Open a pull request on this Hub dataset instead of writing files.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Validate and show, send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before opening a pull request.")
def submit(
    runs: tuple[Path, ...], root: Path, repository: str | None, dry_run: bool, yes: bool
) -> None:
    """Validate RUNS, show what would be sent, and put it where boards are made.

    A RUN is a run's folder, its record, or a folder of runs. Nothing is
    written unless all are valid.
    """
    from fpbench.cli.called import called
    from fpbench.cli.progress import progress_bars
    from fpbench.errors import BadInput
    from fpbench.leaderboard.audit.submit import find_records, open_pull_request, prepare, write

    if root.exists() and not root.is_dir():
        raise BadInput(f"{root} is a file; name the leaderboards' folder with --root.")
    paths = find_records(runs)
    prepared = []
    with progress_bars("submit") as progress:
        for position, path in enumerate(paths, start=1):
            prepared.append(prepare(path, root))
            progress("validate", position, len(paths))
    for submission in prepared:
        click.echo(f"{submission.title}: {submission.headline} ({submission.state})")
        for note in submission.notes:
            click.echo(f"  Note: {note}", err=True)
        if submission.state == "new":
            for name, content in sorted(submission.files.items()):
                click.echo(f"  {name}  {len(content):,} bytes")
    fresh = [submission for submission in prepared if submission.state == "new"]
    total = sum(submission.size for submission in fresh)
    click.echo(f"{len(fresh)} new results, {total:,} bytes in all")
    if dry_run or not fresh:
        return
    if repository is not None:
        if not yes:
            click.confirm(f"Open a pull request on {repository}?", abort=True, err=True)
        click.echo(open_pull_request(fresh, repository))
        return
    if not root.is_dir():
        click.echo(
            f"Note: there was no folder {root}, so it is made; for a pull request run this in a "
            "clone of the repository that holds the boards.",
            err=True,
        )
    for submission in fresh:
        write(submission, root)
    where = "" if root == Path("leaderboards") else f" --root {root}"
    click.echo(
        f"Written below {root}. Next: {called()} leaderboard build{where}, "
        f"{called()} leaderboard check{where}, then commit {root} and open a pull request."
    )
