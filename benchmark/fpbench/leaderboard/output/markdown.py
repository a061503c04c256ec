"""Markdown that says what it is given: any text from a record is shown, none is obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit

from fpbench.errors import visible

MARK = "<!-- Made by `fpbench leaderboard build` from the records; edits are overwritten. -->"
"""First line of every file that is made, by which stale ones are known."""

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_LEADING = re.compile(r"^(\d*)([-+#=.)])(?=[-+#=]*(\s|$))")
_WWW = re.compile(r"(www)\.", re.IGNORECASE)
_LONGEST_URL = 500


def plain(text: object) -> str:
    r"""A text on one line without control characters or characters that turn its direction.

    >>> plain("a\nb\u202ec\x00")
    'a b�c�'
    """
    return visible(" ".join(str(text).split()))


def escape(text: object) -> str:
    r"""A text that renders as itself in a table cell or paragraph of GitHub's Markdown.

    >>> escape("<b>*x*</b> | [a](b)")
    '&lt;b&gt;\\*x\\*&lt;/b&gt; \\| \\[a\\](b)'
    """
    flat = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = _SPECIAL.sub(r"\\\1", flat)
    # GitHub makes links of bare addresses and mentions; entities keep them text.
    flat = flat.replace("://", "&#58;//").replace("@", "&#64;")
    flat = _WWW.sub(r"\1&#46;", flat)
    return _LEADING.sub(r"\1\\\2", flat)


def safe_url(url: str) -> str | None:
    """The address, if it is one of the web and can stand in a link; else None.

    >>> safe_url("https://arxiv.org/abs/1812.11842")
    'https://arxiv.org/abs/1812.11842'
    >>> safe_url("javascript:alert(1)"), safe_url("https://x.org/a b")
    (None, None)
    """
    if not url or len(url) > _LONGEST_URL or re.search(r"[\s<>\"'\\^`{|}\x00-\x1f\x7f]", url):
        return None
    if plain(url) != url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    return url


def link(text: str, target: str) -> str:
    """A link to a web address, or to a path within the repository.

    Args:
        text: What is shown, escaped here.
        target: Web address (else only the text is returned) or a relative path.
    """
    if "://" in target or ":" in target.partition("/")[0]:
        address = safe_url(target)
        if address is None:
            return escape(text)
        return f"[{escape(text)}]({address.replace('(', '%28').replace(')', '%29')})"
    return f"[{escape(text)}]({quote(target, safe='/#.-_~+')})"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)
) -> list[str]:
    """Lines of a table whose cells are Markdown already, followed by an empty line.

    Args:
        headings: One a column.
        rows: Cells.
        left: Columns aligned left; the others are numbers.
    """
    lines = [
        "| " + " | ".join(headings) + " |",
        "|" + "|".join(":--" if k in left else "--:" for k in range(len(headings))) + "|",
    ]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    return [*lines, ""]
