"""An audit's report as text, and as a section of the dataset's card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.datasets.card_text import get_section, put_section
from fpbench.datasets.layout import AUDIT, README, RECIPE, write_json
from fpbench.errors import BadInput
from fpbench.files import read_limited, write_text

if TYPE_CHECKING:
    from fpbench.datasets.audit import AuditReport

_GROUP_NAMES = {
    "file": "file headers",
    "grid": "traces of an 8x8 grid",
    "clipping": "clipping at 0 and 255",
    "bytes": "file size",
}


def _score(score: dict[str, Any]) -> str:
    if score["accuracy"] is None:
        return "–"
    if score["ci_low"] is None:
        return f"{score['accuracy']:.3f}"
    return f"{score['accuracy']:.3f} [{score['ci_low']:.3f}, {score['ci_high']:.3f}]"


def _trace(trace: dict[str, Any]) -> str:
    if trace["mean"] is None:
        return "–"
    return f"{trace['mean']:.3f} [{trace['ci_low']:.3f}, {trace['ci_high']:.3f}]"


def as_markdown(report: AuditReport) -> str:
    """The report as Markdown, headings of the third level."""
    document = report.document
    shortcut = document["shortcut"]
    lines = [
        f"Of revision `{document['dataset']['revision']}`, by `fpbench data audit`.",
        "",
        "### Findings",
        "",
    ]
    lines += [f"- {finding['text']}" for finding in report.findings] or ["- None."]
    lines += [
        "",
        "### Baselines",
        "",
        "What needs no fingerprint; balanced accuracy on `test` with its 95 % interval. The "
        "metadata-only baseline is a random forest that sees no picture, and so are the rows of "
        "single groups of features below it. The plain-statistics baseline is the method `plain`: "
        "mean, deviation, neighbouring differences, Laplacian and clipping of each channel. A "
        "grid of 8 pixels can be a JPEG's or an upsampler's: the codec trace below tells them "
        "apart.",
        "",
        "| baseline | generators | with Real |",
        "|---|---|---|",
    ]
    rows = [
        (
            "metadata only: " + ", ".join(_GROUP_NAMES[name] for name in shortcut["features"]),
            shortcut,
        )
    ]
    rows += [(_GROUP_NAMES[name], score) for name, score in shortcut["groups"].items()]
    if "plain" in document:  # audits of before it was known have none
        rows.insert(1, ("plain statistics", document["plain"]))
    lines += [f"| {name} | {_score(row)} | {_score(row['with_real'])} |" for name, row in rows]
    chance, with_real = shortcut["chance"], shortcut["with_real"]["chance"]
    told = [f"{level:.3f}" if level is not None else "–" for level in (chance, with_real)]
    lines += [f"| chance | {told[0]} | {told[1]} |", "", "### By source", ""]
    lines += [
        "A file holds one upright picture of 8 bits a channel unless it says otherwise. The codec "
        f"trace, with its 95 % interval, is beyond {document['codec_threshold']:.3f} at this size "
        "where images were a JPEG.",
        "",
        "| source | files | codec trace | at 0 | at 255 | test images |",
        "|---|---|---|---|---|---|",
    ]
    origin = document["origin_files"]
    for source in document["dataset"]["sources"]:
        kinds = ", ".join(origin.get(source, document["files"][source]))
        clipping = document["clipping"][source]
        lines.append(
            f"| {source} | {kinds} | {_trace(document['codec_trace'][source])} | "
            f"{clipping['at_0']:.4f} | {clipping['at_255']:.4f} | "
            f"{document['counts']['test'].get(source, 0)} |"
        )
    lines += ["", "### Duplicates", ""]
    lines += _duplicates(document["duplicates"])
    return "\n".join(lines) + "\n"


def _duplicates(found: dict[str, Any]) -> list[str]:
    lines = ["Equal images: none (a dataset that has any does not load)."]
    for title, key in (
        ("Near duplicates in different splits", "near_across"),
        ("Near duplicates within a split", "near_within"),
        ("Near duplicates of different sources", "near_between"),
        ("Generated images that nearly equal a reference image", "memorised"),
    ):
        row = found[key]
        told = ", ".join(f"{name}: {number}" for name, number in row.items()) or "none"
        lines.append(f"{title}: {told}.")
    for twins in found["twins"]:
        lines.append(
            f"Images at the same place of {twins['first']} and {twins['second']}: fine detail "
            f"correlates {twins['same']:.2f}, at other places {twins['other']:.2f}."
        )
    for pair in found["examples"]:
        mirrored = ", mirrored" if pair["mirrored"] else ""
        lines.append(
            f"E.g. {pair['first']} and {pair['second']} (detail correlates "
            f"{pair['similarity']:.2f}{mirrored})."
        )
    # Two spaces end a line in Markdown.
    return [f"{line}  " for line in lines]


def as_text(report: AuditReport) -> str:
    """The report as plain text for a terminal."""
    name = report.document["dataset"]["name"]
    text = as_markdown(report).replace("### ", "").replace("`", "").replace("  \n", "\n")
    body = [line for line in text.splitlines() if not line.startswith("|---")]
    return f"Audit of {name}\n" + "\n".join(body) + "\n"


def write_beside(report: AuditReport, folder: Path) -> list[Path]:
    """Write ``audit.json`` and ``audit.md`` into a folder that has no card.

    Returns:
        The files written.

    Raises:
        BadInput: If there are files of these names that no audit wrote, or they cannot be written.
    """
    page = folder / f"{Path(AUDIT).stem}.md"
    first = f"# Audit of {report.document['dataset']['name']}"
    if page.exists() and not read_limited(page, "audit").startswith("# Audit of "):
        raise BadInput(f"{page} was not written by an audit; move it elsewhere.")
    if (folder / AUDIT).exists() and not page.exists():
        raise BadInput(f"{folder / AUDIT} was not written by this audit; move it elsewhere.")
    write_text(page, f"{first}\n\n{as_markdown(report)}")
    write_json(folder / AUDIT, report.document)
    return [folder / AUDIT, page]


def write_into(report: AuditReport, folder: Path) -> None:
    """Write ``audit.json`` and the section "Audit" of README.md into a dataset's folder.

    The section is replaced where it is there already; the rest of the page stays as it is.
    """
    write_json(folder / AUDIT, report.document)
    put_section(folder, "audit", f"## Audit\n\n{as_markdown(report)}")


def write_into_card(report: AuditReport, built: Path, card: Path) -> list[Path]:
    """Write what was built and audited into a card whose images are kept elsewhere.

    The card may have several recipes. The one that `built` was built from names the report:
    ``audit.json`` for recipe.yaml, ``audit-two.json`` for recipe-two.yaml, each with its sections
    of README.md, which are replaced where they are there already.

    Args:
        report: The audit of `built`.
        built: Folder of the built dataset.
        card: Folder of the card.

    Returns:
        The files written.

    Raises:
        BadInput: If `built` was built from no recipe that is in the card today.
    """
    recipe = _recipe_of(built, card)
    suffix = recipe.stem.removeprefix(Path(RECIPE).stem)
    name = f"`{recipe.name}`" if suffix else ""
    report_file = card / f"{Path(AUDIT).stem}{suffix}.json"
    write_json(report_file, report.document)
    sources = get_section(built, "sources")
    if sources:
        heading, _, body = sources.partition("\n")
        put_section(card, f"sources{suffix}", f"{heading}{' from ' * bool(name)}{name}\n{body}")
    put_section(
        card, f"audit{suffix}", f"## Audit{' of ' * bool(name)}{name}\n\n{as_markdown(report)}"
    )
    return [report_file, card / README]


def _recipe_of(built: Path, card: Path) -> Path:
    """The recipe of a card that a dataset was built from."""
    if (built / RECIPE).is_file():
        wanted = (built / RECIPE).read_bytes()
        for path in sorted(card.glob(f"{Path(RECIPE).stem}*.yaml")):
            if path.read_bytes() == wanted:
                return path
    raise BadInput(
        f"{built} was built from no recipe that is in {card} today; build it again with "
        f"`fpbench data build {card}` and, for another recipe of the card, --recipe FILE."
    )
