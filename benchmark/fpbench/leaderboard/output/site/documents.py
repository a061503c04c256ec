"""Pages of documentation that boards link to, from the Markdown beside the leaderboards' folder."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup

DOCUMENTS = {
    "findings": "Findings",
    "scoring": "How scores are computed",
    "leaderboards": "How a row gets here",
}
"""Documents by the name of their file, with the title of the link."""

_LINK = re.compile(r'<a href="([^"]*)">(.*?)</a>', re.DOTALL)
_IMAGE = re.compile(r"<img [^>]*>")


def documents_beside(root: Path) -> dict[str, Markup]:
    """The documents that are there, as HTML; markup within them is shown and not obeyed.

    Links within the repository, which the site does not hold, become their text.

    Args:
        root: The leaderboards' folder; documentation lies in ``docs`` beside it.
    """
    from markdown_it import MarkdownIt

    engine = MarkdownIt("commonmark", {"html": False}).enable("table")
    found = {}
    for name in DOCUMENTS:
        path = root.resolve().parent / "docs" / f"{name}.md"
        if path.is_file():
            text = engine.render(path.read_text("utf-8", errors="replace"))
            text = text.replace("<table>", '<div class="scroll" tabindex="0"><table>')
            text = text.replace("</table>", "</table></div>")
            found[name] = Markup(_IMAGE.sub("", _LINK.sub(_kept, text)))  # noqa: S704
    return found


def _kept(match: re.Match[str]) -> str:
    target, text = match.groups()
    if target.startswith(("https://", "http://")):
        return f'<a href="{target}" rel="noopener noreferrer">{text}</a>'
    name = target.partition("#")[0].rpartition("/")[2].removesuffix(".md")
    return f'<a href="{name}.html">{text}</a>' if name in DOCUMENTS else text
