"""Sections of a dataset's card that are written from what was built and audited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.datasets.layout import README
from fpbench.files import read_limited, write_text
from fpbench.images import REAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fpbench.datasets.entries import SourceEntry
    from fpbench.datasets.schema import Recipe


def put_section(folder: Path, key: str, text: str) -> None:
    """Write a section of README.md between two comments, or replace the one that is there.

    Args:
        folder: The dataset's folder.
        key: Names the section in the comments.
        text: Markdown, heading included.
    """
    page = _page(folder)
    begin, end = f"<!-- {key}: begin -->", f"<!-- {key}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    before, found, rest = page.partition(begin)
    if found:
        page = before + section + (rest.partition(end)[2] or "\n")
    else:
        page = (page.rstrip("\n") + "\n\n" if page else "") + section + "\n"
    write_text(folder / README, page)


def get_section(folder: Path, key: str) -> str:
    """The text of a section of README.md that `put_section` wrote, or "" if there is none."""
    rest = _page(folder).partition(f"<!-- {key}: begin -->")[2]
    return rest.partition(f"<!-- {key}: end -->")[0].strip()


def _page(folder: Path) -> str:
    path = folder / README
    return read_limited(path, "card").replace("\r\n", "\n") if path.is_file() else ""


def sources_section(
    recipe: Recipe, entries: Mapping[str, SourceEntry], manifest: Mapping[str, Any]
) -> str:
    """Every source of the recipe: what it is, how it was made, how close to real it came.

    Args:
        recipe: The recipe.
        entries: Its sources.yaml.
        manifest: The manifest as JSON values.
    """
    lines = [
        "## Sources as built",
        "",
        f"Revision `{manifest['revision']}`. Distances to the reference images are in principal "
        "components of 16x16 thumbnails: they compare the sources of this dataset and nothing "
        "else. The row of `real` is that of other real images; what a generator must undercut to "
        "have learnt anything are the rows of the mean image and of Gaussian noise.",
        "",
        "| source | family | architecture | made by | Fréchet distance | kernel distance |",
        "|---|---|---|---|---|---|",
    ]
    for name in manifest["sources"]:
        entry = entries[name]
        quality = manifest["quality"].get(name, {})
        made = _made(manifest["facts"].get(name, {}))
        lines.append(
            f"| `{name}` | {entry.family} | {entry.architecture} | {made} | {_figures(quality)} |"
        )
    for name, quality in manifest["facts"].get(REAL, {}).get("yardsticks", {}).items():
        lines.append(f"| {name} | – | – | – | {_figures(quality)} |")
    missing = [name for name in recipe.sources if name not in manifest["sources"]]
    if missing:
        lines += ["", "Not built:", ""]
    for name in missing:
        reason = recipe.sources[name].why_missing() or "left out of this build"
        lines.append(f"- `{name}`: {reason.rstrip('.')}.")
    return "\n".join(lines)


def _figures(quality: Mapping[str, float]) -> str:
    """The cells of the two distances."""
    return " | ".join(
        f"{quality[key]:.3f}" if key in quality else "–" for key in ("frechet", "kernel")
    )


def _made(facts: Mapping[str, Any]) -> str:
    """How a source was made, in a few words."""
    kind = facts.get("origin", "")
    if kind == "zoo":
        return (
            f"`fpbench.zoo`: {facts['steps']:,} steps in {facts['minutes']:.1f} minutes on "
            f"{facts['device']}, {facts['training_images']:,} images, "
            f"{facts['parameters']:,} parameters, seed {facts['seed']}"
        )
    if kind == "diffusers":
        steps = facts.get("num_inference_steps")
        return f"`{facts['pipeline']}`" + (f", {steps} steps" if steps else "")
    if "files" in facts:
        return f"files ({', '.join(facts['files'])})"
    return str(kind)
