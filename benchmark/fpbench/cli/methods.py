"""``fpbench methods``: what methods there are, what each one is, whether it keeps the contract."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench import registry
from fpbench.cli.called import PROGRAM, called
from fpbench.cli.listing import text_table
from fpbench.cli.options import PathName
from fpbench.errors import BadInput
from fpbench.method import Method, MethodCard

if TYPE_CHECKING:
    from fpbench.conformance import CheckResult


@click.group()
def methods() -> None:
    """List, describe, check and begin methods."""


def _summary(name: str, card: MethodCard) -> dict[str, Any]:
    return {
        "name": name,
        "title": card.title,
        "year": card.year,
        "baseline": card.baseline,
        "variants": list(card.variants),
        "needs": list(card.needs),
        "package": registry.method_origin(name),
    }


@methods.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_methods(as_json: bool) -> None:
    """List all registered methods."""
    usable, broken = registry.usable_methods()
    rows = [_summary(name, cls.card) for name, cls in usable.items()]
    if as_json:
        faults = [{"name": fault.name, "reason": fault.reason} for fault in broken]
        click.echo(json.dumps({"methods": rows, "broken": faults}, indent=2))
    else:
        shown = []
        for row in rows:
            title = f"{row['title']} (baseline)" if row["baseline"] else row["title"]
            told = [title, f"variants: {', '.join(row['variants'])}"]
            told += [f"needs {', '.join(row['needs'])}"] if row["needs"] else []
            year = "" if row["baseline"] else str(row["year"])
            shown.append((row["name"], year, "\n".join(told)))
        click.echo(text_table(("method", "year", "what it is"), shown, right=(1,)))
    for fault in broken:
        click.echo(f"Warning: {fault.reason}", err=True)


@methods.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show_method(name: str, as_json: bool) -> None:
    """Show the card of one method: citation, variants, parameters, faithfulness."""
    base, _ = registry.split_variant(name)
    cls, chosen = registry.resolve_method(name)
    card = cls.card
    parameters = cls.declared_parameters()
    if as_json:
        document = _summary(base, card) | {
            "authors": card.authors,
            "citation": card.citation,
            "licence": card.licence,
            "version": card.version,
            "unit": card.unit,
            "min_size": card.min_size,
            "faithful": list(card.faithful),
            "different": list(card.different),
            "url": card.url,
            "parameters": {key: about.default for key, about in parameters.items()},
            "allowed": {key: about.allowed for key, about in parameters.items()},
            "variants": {
                variant: {"summary": about.summary, "params": dict(about.params)}
                for variant, about in card.variants.items()
            },
        }
        click.echo(json.dumps(document, indent=2, default=str))
        return
    origin = "" if card.baseline else f"\n{card.authors}, {card.year}\n{card.url}"
    click.echo(f"{card.title}{origin}".rstrip())
    click.echo(
        f"\nname {base}, version {card.version}, licence {card.licence}, judges one {card.unit}, "
        f"images of at least {card.min_size}x{card.min_size}, "
        f"package {registry.method_origin(base)}"
    )
    if card.needs:
        click.echo(f"needs {', '.join(card.needs)}")
    click.echo("\nVariants (* is the one named here)")
    for variant, about in card.variants.items():
        mark = "*" if variant == chosen else " "
        settings = " ".join(f"{key}={value}" for key, value in about.params.items())
        suffix = f" ({settings})" if settings else ""
        click.echo(f" {mark} {base}:{variant}  {about.summary}{suffix}")
    click.echo("\nParameters (--set key=value)")
    for key, parameter in parameters.items():
        click.echo(f"   {key}={parameter.default}  ({parameter.allowed})")
    for heading, sentences in (("Faithful", card.faithful), ("Different", card.different)):
        if sentences:
            click.echo(f"\n{heading}")
            for sentence in sentences:
                click.echo(f" - {sentence}")
    click.echo(f"\n{card.citation.strip()}")


@methods.command("check")
@click.argument("names", nargs=-1, required=True, metavar="NAME[:VARIANT]|MODULE:CLASS|all")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
              help="A parameter of the method; may be repeated.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Leave out the checks that fit anew.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check_methods(
    ctx: click.Context,
    names: tuple[str, ...],
    settings: tuple[str, ...],
    quick: bool,
    as_json: bool,
) -> None:
    """Check that methods keep the contract; exit code 1 if a check fails.

    A method that is not installed yet is named by its import path, e.g. my_method:MyMethod.
    """
    from fpbench.conformance import check_method
    from fpbench.runs.plan import check_params, parse_settings

    given = parse_settings(settings)
    wanted, broken = _wanted(names)
    read = [check_params(name, cls, given, variant) for name, cls, variant in wanted]
    documents = []
    for (name, cls, variant), params in zip(wanted, read, strict=True):
        report = None
        if not as_json:
            click.echo(name if ":" in name else f"{name}:{variant}")
            report = _echo_result
        results = check_method(cls, variant, params=params, thorough=not quick, report=report)
        documents.append(_document(name, variant, results))
        if not as_json:
            click.echo(f"  {_tally(results)}\n")
    for fault in broken:
        documents.append({"method": fault.name, "variant": None, "passed": False,
                          "cpu_seconds": 0.0, "reason": fault.reason, "checks": []})  # fmt: skip
        if not as_json:
            click.echo(f"{fault.name}\n  failed   {fault.reason}\n")
    if as_json:
        click.echo(json.dumps(documents, indent=2))
    if not all(document["passed"] for document in documents):
        ctx.exit(1)


def _wanted(
    names: tuple[str, ...],
) -> tuple[list[tuple[str, type[Method], str]], list[registry.BrokenMethod]]:
    """What is to be checked: name, class and variant; and plugins that cannot be imported."""
    wanted: dict[tuple[str, str], type[Method]] = {}
    broken: list[registry.BrokenMethod] = []
    for name in names:
        if name == "all":
            usable, faults = registry.usable_methods()
            broken += faults
            wanted |= {(each, cls.card.default_variant): cls for each, cls in usable.items()}
            continue
        try:
            if ":" in name and registry.split_variant(name)[0] not in registry.method_names():
                cls = registry.method_at(name)
                wanted[name, cls.card.default_variant] = cls
            else:
                cls, variant = registry.resolve_method(name)
                wanted[registry.split_variant(name)[0], variant] = cls
        except BadInput as error:
            if len(names) == 1:
                raise
            broken.append(registry.BrokenMethod(name, "", str(error)))
    return [(name, cls, variant) for (name, variant), cls in wanted.items()], broken


def _echo_result(result: CheckResult) -> None:
    click.echo(f"  {result.status:<8} {result.name:<16} {result.seconds:6.1f} s  {result.message}")


def _tally(results: list[CheckResult]) -> str:
    counts = {status: 0 for status in ("passed", "failed", "skipped")}
    for result in results:
        counts[result.status] += 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{told}; {sum(result.seconds for result in results):.1f} s of processor time"


def _document(name: str, variant: str, results: list[CheckResult]) -> dict[str, Any]:
    return {
        "method": name,
        "variant": variant,
        "passed": all(result.status != "failed" for result in results),
        "cpu_seconds": round(sum(result.seconds for result in results), 3),
        "checks": [
            {"name": r.name, "status": r.status, "message": r.message,
             "cpu_seconds": round(r.seconds, 3)}
            for r in results
        ],
    }  # fmt: skip


@methods.command("new")
@click.argument("name")
@click.option("--into", type=PathName(), default=Path(), show_default=True,
              help="Folder in which the package's folder is made.")  # fmt: skip
def new_method(name: str, into: Path) -> None:
    """Begin a package that brings the method NAME; nothing is overwritten."""
    from fpbench.cli.scaffold import write_package

    for path in write_package(name, into):
        click.echo(str(path))
    command, pip = called(), "pip"
    if command != PROGRAM:
        # The environment is not active, so its own pip has to be named, and from another folder.
        command = f"{shlex.quote(sys.executable)} -m {PROGRAM}"
        pip = f"{shlex.quote(sys.executable)} -m pip"
    click.echo(
        f"\nNext:\n  cd {into / name}\n  {pip} install -e .\n  {command} methods check {name}\n"
        f"  {command} run --method {name} --dataset gm-mini",
        err=True,
    )
