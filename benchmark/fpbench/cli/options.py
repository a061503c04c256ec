"""Options of several commands, and the kinds of values they take."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fpbench.files import expanded

_Command = TypeVar("_Command", bound=Callable[..., Any])

MOST_SEEDS = 1000
"""More seeds than anybody runs; a slip of the keyboard must not plan millions of jobs."""


class PathName(click.Path):
    """A path, with ``~`` written out; an empty text, which would mean the current folder, is none.

    Args:
        settings: As of ``click.Path``.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Read a path.

        Raises:
            click.BadParameter: If it is empty, or longer than the file system takes.
            BadInput: If it begins with the home of nobody.
        """
        if not os.fspath(value):
            self.fail("an empty text is no path; write . for the current folder.", param, ctx)
        path = expanded(Path(value))
        try:
            path.lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                name = max(path.parts, key=len)
                self.fail(f"{name[:20]!r}...: {error.strerror}; shorten it.", param, ctx)
        return super().convert(path, param, ctx)


class FiniteRange(click.FloatRange):
    """A number in a range; click itself takes ``nan`` and ``inf`` for numbers in any."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number.

        Raises:
            click.BadParameter: If it is none, not finite or out of range.
        """
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no finite number.", param, ctx)
        return found


def _together(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Several options as one decorator, in the order in which ``--help`` lists them."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _engine(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for value in values:
        key, equals, setting = value.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{value!r} is not of the form key=value.")
        found[key.strip()] = setting
    return found


methods_option = click.option(
    "--method", "methods", multiple=True, required=True, metavar="NAME[:VARIANT]",
    help="A method, or 'all'; may be repeated.",
)  # fmt: skip

configuration_options = _together(
    click.option("--budget", type=click.Choice(["smoke", "small", "full"]), default="small",
                 show_default=True, help="Training length."),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
                 help="A parameter of the method; may be repeated."),
)  # fmt: skip
"""What a method is configured by, besides its name."""

offline_option = click.option("--offline", is_flag=True,
                              help="Ask nobody over the network.")  # fmt: skip


def _may_build(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    from fpbench.cli.building import consent
    from fpbench.datasets.named import building

    ctx.with_resource(building(consent(value)))


build_option = click.option(
    "--build", is_flag=True, expose_value=False, callback=_may_build,
    help="Download and build a dataset that is not here without asking first.",
)  # fmt: skip

running_options = _together(
    click.option("--out", type=PathName(), default=Path("runs"), show_default=True,
                 help="Folder for records, predictions and figures."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--executor", default="local", show_default=True, metavar="NAME",
                 help="What runs the jobs: local, processes, slurm, ray."),
    click.option("--workers", type=click.IntRange(1, 10_000), default=None, metavar="N",
                 help="Jobs at the same time, for executors that run several."),
    click.option("--threads", type=click.IntRange(1, 1024), default=None, metavar="N",
                 help="Threads of each job; noted in the record, as training depends on it."),
    click.option("--engine", multiple=True, metavar="KEY=VALUE", callback=_engine,
                 help="A setting of the executor's engine, e.g. partition=gpu for Slurm; may be "
                 "repeated."),
    click.option("--time-limit", type=FiniteRange(0, min_open=True), metavar="MINUTES",
                 help="Decline a job whose method takes longer than this."),
    offline_option,
    build_option,
    click.option("--again", is_flag=True, help="Run finished jobs anew; the new results replace "
                 "the old ones."),
    click.option("--json", "as_json", is_flag=True,
                 help="Print one JSON document of all records."),
)  # fmt: skip
"""How and where jobs run."""


split_options = _together(
    click.option("--split", metavar="TRAIN/VALIDATION/TEST", default=None,
                 help="Of a folder of images or a labelled dataset: shares of each source's images "
                 "(0.5/0.15/0.35, the default), or numbers of them (300/50/100)."),
    click.option("--real-to-reference", "to_reference", metavar="SHARE|COUNT", default=None,
                 help="Share or number of the real images that become the reference set before "
                 "the rest is split (0.4, the default)."),
    click.option("--groups", metavar="by-folder|by-prefix", default=None,
                 help="Keep images of one group (a prompt, scene or person) on one side: groups "
                 "are the folders within a source's folder, or the names up to the last - or _."),
)  # fmt: skip
"""How a dataset that somebody brings as it is becomes reference, train, validation and test."""


columns_options = _together(
    click.option("--image", metavar="COLUMN", default=None,
                 help="Of a labelled dataset (hub:OWNER/NAME, a Parquet or CSV file): the column "
                 "of images."),
    click.option("--label", metavar="COLUMN", default=None, help="The column of labels."),
    click.option("--real", metavar="LABEL", multiple=True,
                 help="A label that means real images; may be repeated."),
    click.option("--group", metavar="COLUMN", default=None,
                 help="A column of what images of one prompt, scene or person share: they stay on "
                 "one side."),
    click.option("--images", metavar="N", type=click.IntRange(0), default=None,
                 help="Images of each source at most (200, the default); 0 is all."),
    click.option("--crop", metavar="PIXELS", type=click.IntRange(0), default=None,
                 help="Side of the square cut from the middle of each image; by default the "
                 "largest that fits nearly all, at most 256. Nothing is resampled."),
)  # fmt: skip
"""Where the images and labels of a labelled dataset stand."""

dataset_options = _together(split_options, columns_options)
"""What may be said of a dataset that somebody brings as it is."""


def dataset_settings(options: dict[str, Any]) -> dict[str, str | None]:
    """The values of `dataset_options`, taken out of a command's, as settings of a reference."""
    names = {"to_reference": "reference"}
    taken = (
        "split", "to_reference", "groups", "image", "label", "real", "group", "images", "crop"
    )  # fmt: skip
    found: dict[str, str | None] = {}
    for name in taken:
        value = options.pop(name)
        if isinstance(value, tuple):
            value = ",".join(value) or None
        found[names.get(name, name)] = None if value is None else str(value)
    return found


def seeds_option(default: int) -> Callable[[_Command], _Command]:
    """``--seeds``, with a command's own default."""
    return click.option(
        "--seeds", default=default, show_default=True, type=click.IntRange(1, MOST_SEEDS),
        help="Number of seeds: 0, 1, ...",
    )  # fmt: skip


def names_in_list(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Names written as ``NAME,NAME``; None where the option was not given.

    Raises:
        click.BadParameter: If the option was given and names nothing.
    """
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names:
        raise click.BadParameter(f"{value!r} names nothing.")
    return names
