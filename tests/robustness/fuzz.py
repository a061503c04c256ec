"""Calls of the command line, drawn at random from its own options and from nonsense."""

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from fpbench.cli.main import cli

from .folders import write_card, write_images

NONSENSE = (
    "", " ", "0", "-1", "1", "3", "1e400", "nan", "inf", "99999999999999999999", "all", "none",
    "x", "../..", "~nouser/x", "a\u202eb", "\x1b[31m", "é", "gm-mini", "gm-mini:x", "gm-mimi",
    "gm-synthetic", "gm-synthetic:", "gm-synthetic:x,1", "pixels", "majority:only", "majority:x",
    "prnu:", ":", "k=1", "k", "=", "k==", "[1]", "{", "true", "a,b", ",", "rotate", "family:GAN",
    "someone/faces", "someone/faces@x", "datasets/a/b", "spaces/a", "hf://x", "http://x", "\\", "%",
    "-", "--", "'", "CON", "name" * 80, "\udcff",
)  # fmt: skip
"""Values that some option may take and most must refuse."""

_NEVER = {"--help", "-h", "--debug", "--hub", "--yes", "--push"}
"""Options that end a call at once, or send something away."""

_LONG = {("data", "audit"), ("data", "push"), ("data", "pull"), ("methods", "check")}
"""Commands that rightly take long, or speak to the Hub, on a good name."""

_BUILD = ("data", "build")
_MAY_TRAIN = ("gm-mini", "gm-synthetic")
"""What `data build` is not called with: to train twelve generators takes hours."""

_GOOD = {
    "--method": ("pixels", "majority", "pixels:nearest", "logdct", "prnu"),
    "--protocol": ("closed-set", "open-set", "robustness", "transfer"),
    "--set": ("c=0.1", "sigma=2", "levels=2", "c=x"),
    "--scores": ("accuracy", "attribution", "bags,accuracy", "nope"),
    "--score": ("accuracy", "auc", "nope"),
    "--values": ("1,2", "3", "2,x", "10"),
    "--unknown": ("rotate", "a", "b", "a,b"),
    "--executor": ("local",),
    "--reference": ("train", "test", "source", "target"),
    "name": ("pixels", "manifpt", "gm-mini", "gm-cifar10", "gm-synthetic", "mymethod"),
}
"""By option or argument: values of which some are right, so that calls get past the first look."""


def odd_files(folder: Path) -> list[str]:
    """Files and folders that are no dataset and no record, and some that nearly are."""
    made = {
        "empty.json": b"",
        "list.json": b"[]",
        "deep.json": b"[" * 100_000,
        "nan.json": b'{"schema_version": NaN}',
        "newer.json": b'{"schema_version": 99}',
        "bytes.json": bytes(range(256)),
        "image.png": b"\x89PNG\r\n\x1a\n",
        "recipe.yaml": b"a: &a [*a]",
    }
    paths = []
    for name, content in made.items():
        (folder / name).write_bytes(content)
        paths.append(folder / name)
    for name in ("empty", "with\nline", "sources/real", "sources/a", "broken/real", "broken/a"):
        (folder / name).mkdir(parents=True)
    shutil.rmtree(folder / "sources")
    write_images(folder / "sources", ("real", "a", "b", "c"))
    (folder / "broken" / "a" / "x.png").write_bytes(made["image.png"])
    (folder / "broken" / "real" / "y.png").write_bytes(b"no picture")
    write_card(folder / "card")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "nothing")
    names = ("empty", "with\nline", "sources", "broken", "loop", "dangling", "missing")
    return [str(path) for path in (*paths, *(folder / name for name in names))]


def commands() -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command by its words."""
    found: list[tuple[tuple[str, ...], click.Command]] = []

    def walk(words: tuple[str, ...], command: click.Command) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk((*words, name), inner)
        else:
            found.append((words, command))

    walk((), cli)
    return found


def _good(parameter: click.Parameter, folder: Path) -> Sequence[str]:
    """Values that a parameter may well take."""
    if isinstance(parameter.type, click.Choice):
        return [str(choice) for choice in parameter.type.choices]
    if isinstance(parameter.type, click.IntRange | click.FloatRange):
        return ("1", "2", "3", "5")
    name = parameter.opts[0]
    if name in ("--dataset", "--train-on", "--test-on"):
        return [str(folder / "sources"), str(folder / "sources"), str(folder / "broken")]
    if name in ("runs", "records"):
        return [str(folder / "out"), *map(str, sorted(folder.glob("out/**/record.json"))[:9])]
    return _GOOD.get(name, ())


def calls(seed: int, count: int, folder: Path) -> Iterator[list[str]]:
    """Calls of commands with random options and values; the same for the same seed.

    Args:
        seed: Seed of the draws.
        count: How many.
        folder: Where odd files are made and everything is written.
    """
    draw = random.Random(seed)  # noqa: S311  (the same calls every time)
    values = [*NONSENSE, *odd_files(folder)]
    out = str(folder / "out")
    every = [entry for entry in commands() if entry[0] not in _LONG]
    for _ in range(count):
        words, command = draw.choice(every)
        call = list(words)
        nonsense = draw.random() < 0.5

        def value(
            parameter: click.Parameter,
            nonsense: bool = nonsense,
            words: tuple[str, ...] = words,
        ) -> str:
            good = _good(parameter, folder)
            if words == _BUILD and parameter.name == "name":
                good = [str(folder / "card")]
            odd = not good or (nonsense and draw.random() < 0.5)
            chosen = draw.choice(values if odd else good)
            return "x" if words == _BUILD and chosen in _MAY_TRAIN else chosen

        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                wanted = 1 if parameter.nargs == 1 else draw.randrange(3)
                call += [value(parameter) for _ in range(wanted)]
                continue
            name = parameter.opts[0]
            if name in _NEVER or (not parameter.required and draw.random() < 0.75):
                continue
            if name in ("--out", "--root", "--into", "--to"):
                call += [name, draw.choice((out, out, draw.choice(values[len(NONSENSE) :])))]
            elif isinstance(parameter, click.Option) and parameter.is_flag:
                call.append(draw.choice((*parameter.opts, *parameter.secondary_opts)))
            else:
                call += [name, value(parameter)]
        if draw.random() < 0.05:
            call.insert(draw.randrange(len(call) + 1), draw.choice(values))
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        # What is valid by chance must not train for an hour or ask the Hub.
        for option, value in (("--budget", "smoke"), ("--device", "cpu"), ("--time-limit", "0.02")):
            if option in known:
                call += [option, value]
        call += [flag for flag in ("--offline", "--no-figures") if flag in known]
        for option in ("--out", "--root", "--into", "--to"):
            if option in known and option not in call:
                call += [option, out]
        yield call
