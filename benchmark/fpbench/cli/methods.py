"""``fpbench methods``: what methods there are and what each one is."""

from __future__ import annotations

import json
from typing import Any

import click

from fpbench import registry
from fpbench.method import MethodCard


@click.group()
def methods() -> None:
    """List and describe methods."""


def _summary(name: str, card: MethodCard) -> dict[str, Any]:
    return {
        "name": name,
        "title": card.title,
        "year": card.year,
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
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            needs = f"  needs {', '.join(row['needs'])}" if row["needs"] else ""
            click.echo(f"{row['name']:<{width}}  {row['title']} ({row['year']}){needs}")
            click.echo(f"{'':<{width}}  variants: {', '.join(row['variants'])}")
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
    parameters = cls.parameters()
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
            "parameters": parameters,
            "variants": {
                variant: {"summary": about.summary, "params": dict(about.params)}
                for variant, about in card.variants.items()
            },
        }
        click.echo(json.dumps(document, indent=2, default=str))
        return
    click.echo(f"{card.title}\n{card.authors}, {card.year}\n{card.url}".rstrip())
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
    for key, value in parameters.items():
        click.echo(f"   {key}={value}")
    for heading, sentences in (("Faithful", card.faithful), ("Different", card.different)):
        if sentences:
            click.echo(f"\n{heading}")
            for sentence in sentences:
                click.echo(f" - {sentence}")
    click.echo(f"\n{card.citation.strip()}")
