"""The ``fpbench`` command: finds its subcommands without importing what they need."""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

import click

from fpbench import __version__
from fpbench.cli.called import as_called, called
from fpbench.errors import BadInput, visible

_LONGEST = 60  # characters of a word in a message

_COMMANDS = {
    "run": ("fpbench.cli.run", "run", "Score methods on datasets."),
    "transfer": (
        "fpbench.cli.transfer",
        "transfer",
        "Train on one dataset, test on another.",
    ),
    "ablate": ("fpbench.cli.ablate", "ablate", "Vary one thing and follow the scores."),
    "fit": ("fpbench.cli.fit", "fit", "Fit a method and keep it, to judge images by."),
    "attribute": (
        "fpbench.cli.attribute",
        "attribute",
        "Say which known source made an image, or none.",
    ),
    "tune": ("fpbench.cli.tune", "tune", "Choose rates and lengths on a development set."),
    "methods": ("fpbench.cli.methods", "methods", "List and describe methods."),
    "data": ("fpbench.cli.data", "data", "List, build, audit and host GM datasets."),
    "leaderboard": (
        "fpbench.cli.leaderboard",
        "leaderboard",
        "Build, check and publish boards from records.",
    ),
    "submit": ("fpbench.cli.submit", "submit", "Take finished runs to the leaderboards."),
    "rescore": ("fpbench.cli.rescore", "rescore", "Bring runs to the present scoring rules."),
    "verify": (
        "fpbench.cli.verify",
        "verify",
        "Recompute a record's scores, and run its job again.",
    ),
}
"""Name to module, attribute and one-line help, so that --help imports no subcommand."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  (the table above is ours)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fpbench")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def cli(debug: bool) -> None:
    """Benchmark fingerprints of generative models.

    Try: fpbench run --method manifpt --dataset gm-mini
    """


class Ended(KeyboardInterrupt):
    """The process was told to end by a signal other than Ctrl-C's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended(number)


def _after_the_end(number: int, frame: FrameType | None) -> None:
    # Nothing is left to be undone, and Python would print a traceback of its own shutdown.
    os.write(2, b"\nInterrupted after the work was done; all results are stored.\n")
    os._exit(128 + number)


def _listen(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let TERM and HUP be handled so."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Whoever ignores HUP (nohup) means it.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def entry(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    0 done, 1 a job failed, 2 bad usage or bad input, 130 interrupted (128 and the signal's
    number for other signals).

    Args:
        arguments: The words of the command; those of the process where None, whose signals are
            then listened to.
    """
    if arguments is not None:
        sys.exit(_run(list(arguments)))
    # TERM and HUP end as Ctrl-C does: what is half-written is removed.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _listen(_end)
    code = _run(sys.argv[1:])
    signal.signal(signal.SIGINT, _after_the_end)
    _listen(_after_the_end)
    sys.exit(code)


def _of_the_words(error: Exception) -> str | None:
    """What is wrong with a word that no file can be called or no document can hold, or None."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{str(error.filename)[:_LONGEST]}...: {error.strerror}; shorten it."
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{error.object[:_LONGEST]!r} holds bytes that are no UTF-8, so it is no text; "
            "write it in UTF-8."
        )
    return None


def _run(words: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        # Names and formulas are written with letters that not every terminal has.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in words
    # Accepted anywhere: people add it to the end of the line that failed.
    words = [word for word in words if word != "--debug"]
    try:
        code = cli.main(args=words, prog_name=called(), standalone_mode=False)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except SystemExit as end:
        code = end.code
    except (click.Abort, KeyboardInterrupt) as end:
        click.echo("Interrupted. Finished jobs are kept; run the same command to go on.", err=True)
        # click tells of an interruption by an exception of its own.
        cause = end.__cause__ if isinstance(end, click.Abort) else end
        code = 128 + cause.number if isinstance(cause, Ended) else 130
    except click.ClickException as error:
        error.show()
        _print_error(words, error.format_message())
        code = error.exit_code
    except BadInput as error:
        if debug:
            traceback.print_exc()
        click.echo(as_called(f"Error: {error}"), err=True)
        _print_error(words, str(error))
        code = 2
    except BrokenPipeError:
        code = 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        told = _of_the_words(error)
        if told is not None:
            click.echo(f"Error: {visible(told)}", err=True)
            _print_error(words, told)
            return 2
        click.echo(
            f"Error: {type(error).__name__}: {error}\n"
            "This is a fault in fpbench; run again with --debug and report the traceback.",
            err=True,
        )
        _print_error(words, f"{type(error).__name__}: {error}")
        code = 1
    return code if isinstance(code, int) else 0


def _print_error(words: list[str], message: str) -> None:
    """With ``--json``, stdout is a document even where a command could do nothing at all."""
    if "--json" in words:
        click.echo(json.dumps({"error": visible(message)}, indent=2))
