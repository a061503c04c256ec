"""``fpbench fit``: fit a method and keep it, for ``fpbench attribute``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import (
    FiniteRange,
    PathName,
    build_option,
    configuration_options,
    offline_option,
)
from fpbench.errors import visible

if TYPE_CHECKING:
    from fpbench.attribution.model import FittedModel

leaderboards_option = click.option(
    "--leaderboards", type=PathName(), default=Path("leaderboards"), show_default=True,
    help="A leaderboards' folder, whose scores of the method are noted in the model.",
)  # fmt: skip


@click.command()
@click.option("--method", required=True, metavar="NAME[:VARIANT]", help="The method.")
@click.option("--dataset", required=True, metavar="NAME|FOLDER|HUB_ID", help="The dataset.")
@click.option("--out", type=PathName(), required=True, metavar="MODEL",
              help="The model folder; an earlier model there is replaced.")  # fmt: skip
@configuration_options
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
              help="Seed of the method.")  # fmt: skip
@click.option("--calibration-share", type=FiniteRange(0, 1, min_open=True, max_open=True),
              default=0.5, show_default=True,
              help="Share of the validation images that the fit is not given, and that p-values "
              "are ranks among.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@offline_option
@build_option
@leaderboards_option
@click.option("--json", "as_json", is_flag=True, help="Print the model's page as JSON.")
def fit(
    method: str,
    dataset: str,
    out: Path,
    budget: Any,
    settings: tuple[str, ...],
    seed: int,
    calibration_share: float,
    device: str,
    offline: bool,
    leaderboards: Path,
    as_json: bool,
) -> None:
    """Fit a method on a dataset and write a model folder that `fpbench attribute` judges by."""
    from fpbench.attribution.fitting import FitFailed, fit_model
    from fpbench.cli.progress import progress_bars
    from fpbench.runs.plan import parse_settings

    try:
        with progress_bars(f"fitting {method} on {dataset}") as progress:
            model = fit_model(
                method,
                dataset,
                out,
                seed=seed,
                budget=budget,
                params=parse_settings(settings),
                device=device,
                offline=offline,
                calibration_share=calibration_share,
                leaderboards=leaderboards,
                progress=progress,
            )
    except FitFailed as failed:
        click.echo(f"Error: {failed}", err=True)
        if as_json:
            click.echo(json.dumps({"error": visible(str(failed))}, indent=2))
        sys.exit(1)
    if as_json:
        click.echo(model.page.json_text(), nl=False)
    else:
        show_model(model)


def show_model(model: FittedModel) -> None:
    """Print what a model folder holds, and what can be promised by it."""
    from fpbench.attribution.verdict import promise

    page = model.page
    counts = model.calibration.counts
    click.echo(visible(f"{page.title}, seed {page.method.seed}, budget {page.method.budget}"))
    click.echo(visible(f"model     {model.folder}"))
    click.echo(visible(f"sources   {len(page.sources)}: {', '.join(s.name for s in page.sources)}"))
    click.echo(f"images    {page.image_size[0]}x{page.image_size[1]}, {' and '.join(page.formats)}")
    click.echo(
        f"smallest  a p-value can be {1 / (counts.max() + 1):.3g} to {1 / (counts.min() + 1):.3g}"
    )
    click.echo(f"licences  {visible(', '.join(page.dataset.licences)) or 'nobody states any'}")
    if page.images_kept:
        free = "" if page.free else "; whoever gets the folder gets them: ask whether they may"
        click.echo(
            f"it holds {page.images_kept:,} images of {page.dataset.name} as they are{free}."
        )
    click.echo(visible(f"\n{promise(model, 0.1)}"))
