"""Whatever a record says is shown as it is, and becomes neither markup nor a link."""

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from fpbench.leaderboard.archive.layout import folder_name
from fpbench.leaderboard.output.markdown import escape, link, plain, safe_url, table

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://example.org/pixel.png)",
    "a | b | c",
    "**bold** _em_ `code` ~~gone~~",
    "# heading",
    "1. list",
    "- list",
    "&lt;b&gt; &amp;",
    "back\\slash\\",
    "$x^2$",
    "```fence",
    "<https://example.org>",
    "a\n\n| b |\n|---|\n# c",
]


class Reader(HTMLParser):
    """Text of the first table cell, and the tags within."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if self.inside:
            self.tags.append(tag)
        if tag == "td":
            self.inside = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data


def read(lines: list[str]) -> Reader:
    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader = Reader()
    reader.feed(rendered.render("\n".join(lines)))
    return reader


@pytest.mark.parametrize("text", HOSTILE)
def test_text_renders_as_itself_in_a_cell(text: str) -> None:
    reader = read(table(["a", "b"], [[escape(text), "second"]]))
    assert reader.cells == [plain(text), "second"]
    assert reader.tags == []


@pytest.mark.parametrize("text", HOSTILE)
def test_text_renders_as_itself_in_a_line(text: str) -> None:
    html = MarkdownIt("commonmark", {"html": True}).render(f"# {escape(text)}\n\n{escape(text)}\n")
    assert html.count("<h1>") == 1
    for tag in ("<script", "<img", "<a ", "<strong", "<em", "<ol", "<ul", "<table", "<code"):
        assert tag not in html


def test_bare_addresses_and_mentions_do_not_become_links() -> None:
    text = escape("see https://evil.example www.evil.example someone@example.org @everyone")
    assert "://" not in text
    assert "www." not in text
    assert "@" not in text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://user:password@example.org/",
        "https://exa mple.org",
        'https://example.org/"onclick="x',
        "https://example.org/<x>",
        "//example.org",
        "https://",
        "https://[broken",
        "https://example.org/" + "a" * 600,
        "https://example.org/\u202egpj.exe",
    ],
)
def test_addresses_that_are_no_web_pages_become_text(url: str) -> None:
    assert safe_url(url) is None
    assert "](" not in link("text", url if ":" in url else "javascript:x")


def test_links_survive_parentheses_and_escape_their_text() -> None:
    line = link("a [b]", "https://example.org/x_(y)")
    html = MarkdownIt("commonmark").render(line)
    assert 'href="https://example.org/x_%28y%29"' in html
    assert ">a [b]</a>" in html


def test_control_characters_and_turned_direction_are_replaced() -> None:
    assert plain("a\x1b[31m\u202eb\u2066") == "a\ufffd[31m\ufffdb\ufffd"


@pytest.mark.parametrize(
    "name", ["../..", "/etc/passwd", "..", ".", "", "a/../b", "CON\\x", "\x00", "é" * 300, "-rf"]
)
def test_no_name_becomes_a_path(name: str) -> None:
    folder = folder_name(name)
    assert folder
    assert not folder.startswith((".", "-"))
    assert not set(folder) & set("/\\\x00: ")
    assert len(folder) < 100


def test_different_names_get_different_folders() -> None:
    names = ["a b", "a  b", "a\tb", "<a>", "[a]", "a", "a.", "a-", "é", "è", "x" * 90, "x" * 91]
    assert len({folder_name(name) for name in names}) == len(names)
