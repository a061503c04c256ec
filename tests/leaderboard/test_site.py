"""The site as files: whole, self-contained, escaped, and the same for the same records."""

import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from fpbench.errors import BadInput
from fpbench.leaderboard.output.site.downloads import cell
from fpbench.leaderboard.output.site.drawings import packed_pairs
from fpbench.leaderboard.output.site.write import write_site
from fpbench.metrics.comparison import Comparisons

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "published.yaml"
VOID = {"meta", "link", "br", "img", "input", "wbr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: list[str] = []
        self.feed(path.read_text("utf-8"))
        assert self.open == [], path

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.end_cell()
        if tag not in VOID:
            self.open.append(tag)

    def end_cell(self) -> None:
        """A cell may end without a tag: with the next one, or with its row."""
        if self.open and self.open[-1] == "td":
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.end_cell()
        assert self.open and self.open[-1] == tag, (self.path, tag, self.open)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.data.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def ids(self) -> list[str | None]:
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]


@pytest.fixture
def site(root: Path, add: Any, tmp_path: Path) -> Path:
    (root / "published.yaml").write_text(PUBLISHED.read_text("utf-8"), "utf-8")
    for seed in range(2):
        add(method="prnu", seed=seed, dataset="gm-ffhq", shortcut=0.9)
    add(method="yu", skill=0.5, dataset="gm-ffhq")
    add(method="yu", skill=0.5, dataset="gm-ffhq", budget="full", seed=3)
    add(method="big", dataset="gm-ffhq", status="declined", reason="no weights")
    add(method="prnu", dataset="gm-ffhq", control="shuffled-labels", skill=0.3)
    add(method="prnu", dataset="gm-cifar10", content="cd" * 32)
    out = tmp_path / "site"
    pages, problems = write_site(root, out)
    assert problems == ()
    assert pages == len(list(out.rglob("*.html"))) == 12
    return out


def test_pages_nest_and_every_link_leads_somewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        assert len(page.ids) == len(set(page.ids)), path
        for tag, attrs in page.tags:
            for name in ("href", "src"):
                target = attrs.get(name)
                if target is None or target.startswith(("https://", "data:,")):
                    continue
                file, _, anchor = target.partition("#")
                found = (path.parent / unquote(file)).resolve() if file else path
                assert found.is_file(), (path, tag, target)
                if anchor and found.suffix == ".html":
                    assert anchor in Page(found).ids, (path, target)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        for tag in ("script", "link", "img"):
            for attrs in page.all(tag):
                target = attrs.get("src") or attrs.get("href") or ""
                assert not re.match(r"(https?:)?//", target), (path, target)
        assert not [attrs for _, attrs in page.tags if any(k.startswith("on") for k in attrs)]
        (policy,) = [m for m in page.all("meta") if m.get("http-equiv")]
        assert "default-src 'none'" in str(policy["content"])
    scripts = "".join(path.read_text("utf-8") for path in (site / "static").iterdir())
    for word in ("fetch(", "XMLHttpRequest", "innerHTML", "eval(", "document.write", "import("):
        assert word not in scripts


def test_tables_can_be_read_aloud(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("main")) == 1
        assert len(page.all("h1")) == 1
        assert len(page.all("caption")) == len(page.all("table"))
        assert all(attrs.get("scope") for attrs in page.all("th"))
        for attrs in page.all("img"):
            assert attrs.get("alt")
        for attrs in page.all("div"):
            if attrs.get("role") == "region":
                assert attrs.get("tabindex") == "0"
                assert attrs.get("aria-label") or attrs.get("aria-labelledby") in page.ids


def test_dataset_page_tells_everything(site: Path) -> None:
    text = (site / "datasets" / "gm-ffhq.html").read_text("utf-8")
    for words in ("Budget full", "Budget small", "no weights", "Null controls", "shuffled labels",
                  "66.1 ± 0.207 %", "transcribed from an image", "metadata-only baseline", "vae-c",
                  "every score here may be that confound"):  # fmt: skip
        assert words in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    small = next(s for s in data["sections"] if s["title"] == "Budget small")
    assert [row["label"] for row in small["rows"]] == ["prnu:wavelet", "yu:wavelet"]
    assert data["generators"] == ["gan-a", "gan-b", "vae-c"]
    first = small["rows"][0]
    assert [n - 100 for n in b64decode(first["structure"]["correlations"])] == [60, 10, 10]
    shares = [n - 100 for n in b64decode(first["confusion"])]
    assert len(shares) == 4 * 4
    for k in range(4):
        line = shares[4 * k : 4 * k + 4]
        assert sum(line) == pytest.approx(100, abs=2)
        assert max(line) == line[k]


def test_packed_pairs_say_what_the_tests_found(root: Path, site: Path) -> None:
    from fpbench.leaderboard.output.build import read_leaderboards

    board = next(b for b in read_leaderboards(root).boards if b.name == "gm-ffhq")
    section = next(s for s in board.sections if s.budget == "small")
    text = (site / "datasets" / "gm-ffhq.html").read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    packed = next(s for s in data["sections"] if s["title"] == "Budget small")["pairs"]
    assert section.pairs is not None
    octets = b64decode(packed)
    assert len(octets) == 6
    bits = int.from_bytes(octets, "little")
    for at, expected in ((0, section.pairs.p_value[0, 1]), (12, section.pairs.corrected[0, 1])):
        number, exponent = bits >> at & 0x7F, bits >> at + 7 & 0x1F
        assert f"{number * 10.0 ** (-exponent - 1):.1e}" == f"{expected:.1e}"
    half = (bits >> 24 & 0x7FFFFF) / 4_000_000
    assert half == pytest.approx(section.pairs.halfwidth[0, 1], abs=2e-7)
    assert bool(bits >> 47) == bool(section.pairs.corrected[0, 1] <= 0.05)


@pytest.mark.parametrize("p", [1.0, 0.996, 0.1, 0.0999, 0.0961, 0.05, 0.0123, 3.4e-9, 1e-31])
def test_p_values_are_packed_with_two_digits(p: float) -> None:
    pairs = compared(p)
    bits = int.from_bytes(b64decode(packed_pairs(pairs)), "little")
    number, exponent = bits & 0x7F, bits >> 7 & 0x1F
    assert f"{number * 10.0 ** (-exponent - 1):.1e}" == f"{p:.1e}"


def test_a_p_value_too_small_to_pack_has_one_digit() -> None:
    bits = int.from_bytes(b64decode(packed_pairs(compared(0.0))), "little")
    assert bits & 0x7F < 10


def compared(p: float) -> Comparisons:
    """Two rows that differ by 0.1 with this p-value."""
    grid, both = np.full((2, 2), 0.1), np.array([[1.0, p], [p, 1.0]])
    return Comparisons(grid, grid, grid, both, both, grid, np.zeros((2, 2), np.bool_))


def test_method_page_shows_card_and_scores_everywhere(site: Path) -> None:
    page = Page(site / "methods" / "prnu.html")
    text = "".join(page.data)
    for words in ("The paper of prnu", "A. Author, 2020", "gm-ffhq", "gm-cifar10", "@article{"):
        assert words in text
    hrefs = [attrs.get("href") for attrs in page.all("a")]
    assert "https://example.org/paper" in hrefs


def test_a_method_that_was_only_declined_has_a_page(site: Path) -> None:
    page = Page(site / "methods" / "big.html")
    text = "".join(page.data)
    for words in ("The paper of big", "No finished record yet", "no weights", "gm-ffhq"):
        assert words in text
    for name in ("index.html", "datasets/gm-ffhq.html"):
        hrefs = [attrs.get("href") or "" for attrs in Page(site / name).all("a")]
        assert any(href.endswith("methods/big.html") for href in hrefs)


def test_downloads_hold_every_row(site: Path) -> None:
    import csv
    import io

    rows = list(csv.DictReader(io.StringIO((site / "downloads" / "gm-ffhq.csv").read_text())))
    columns = ("method", "budget", "seeds", "rank_low", "rank_high", "unranked")
    assert [tuple(r[column] for column in columns) for r in rows] == [
        ("yu", "full", "3", "", "", "one run"),
        ("prnu", "small", "0 1", "1", "1", ""),
        ("yu", "small", "0", "", "", "one run"),
    ]
    assert 0.3 < float(rows[0]["accuracy"]) < float(rows[1]["accuracy"])
    document = json.loads((site / "downloads" / "gm-ffhq.json").read_text("utf-8"))
    assert document["dataset"]["name"] == "gm-ffhq"
    assert document["declined"][0]["reason"] == "no weights"
    section = document["sections"][1]
    assert [(row["rank"], row["unranked"]) for row in section["rows"]] == [
        ([1, 1], None), (None, "one run"),
    ]  # fmt: skip
    value, low, high = section["rows"][0]["scores"]["accuracy"]
    assert low < value < high
    assert value == pytest.approx(float(rows[1]["accuracy"]))
    assert section["chance"]["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    # Chance levels in which the rows differ stand with the rows, so none is lost.
    for row, line in zip(section["rows"], rows[1:], strict=True):
        for key in row["scores"]:
            level = (section["chance"] | row.get("chance", {}))[key]
            said = line[f"{key}_chance"]
            assert said == "" if level is None else level == pytest.approx(float(said))
    assert "@article{" in (site / "downloads" / "citations.bib").read_text("utf-8")


def test_cells_are_no_formulas() -> None:
    assert cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert cell("@x") == "'@x"
    assert cell("-6 dB") == "'-6 dB"
    assert cell(-6.5) == "-6.5"


def test_the_same_records_give_the_same_site(root: Path, site: Path, tmp_path: Path) -> None:
    write_site(root, tmp_path / "again")
    first = {p.relative_to(site): p.read_bytes() for p in site.rglob("*") if p.is_file()}
    again = tmp_path / "again"
    assert {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()} == first


def test_an_earlier_site_is_replaced_and_other_folders_are_not(
    root: Path, site: Path, tmp_path: Path
) -> None:
    (site / "methods" / "gone.html").write_text("old")
    write_site(root, site)
    assert not (site / "methods" / "gone.html").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(BadInput, match="holds files that are no site"):
        write_site(root, other)
    with pytest.raises(BadInput, match="is a file"):
        write_site(root, other / "thesis.tex")
    assert not list(tmp_path.glob(".partial-*"))


def test_hostile_texts_are_text(root: Path, add: Any, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    add(
        method=evil,
        variant="</script><script>alert(3)</script>",
        params={"k": "<!--<script>"},
        card={
            "url": "javascript:alert(4)", "title": evil, "authors": evil, "licence": evil,
            "citation": f"</code></pre>{evil}", "faithful": [evil], "different": [evil],
            "needs": [evil], "variants": {evil: evil},
        },
    )  # fmt: skip
    add(method="declined", status="declined", reason=evil)
    out = tmp_path / "site"
    write_site(root, out)
    for path in out.rglob("*.html"):
        page = Page(path)
        assert [a.get("src") or a.get("type") for a in page.all("script")][:2] == [
            ("../" if path.parent != out else "") + "static/theme.js",
            ("../" if path.parent != out else "") + "static/site.js",
        ]
        assert len(page.all("script")) == 2 + 2 * (path.parent.name == "datasets")
        pictures = page.all("img")
        assert all(a["class"] in ("chart", "badge") and "<" not in a["src"] for a in pictures)
        assert not any("onerror" in a for a in pictures)
        assert "javascript:" not in str([a.get("href") for a in page.all("a")])
    text = (out / "datasets" / "someone-gm-tiny.html").read_text("utf-8")
    embedded = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert embedded is not None
    assert "</script><script>alert(3)" in json.loads(embedded[1])["sections"][0]["rows"][0]["label"]


def test_figures_that_came_with_a_record_are_shown(root: Path, add: Any, tmp_path: Path) -> None:
    path = add(method="prnu")
    figures = path.with_suffix("") / "figures"
    figures.mkdir()
    (figures / "tsne.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    out = tmp_path / "site"
    _, problems = write_site(root, out)
    assert problems == ()
    assert [p.name for p in (out / "pictures").iterdir()] == [f"{path.stem}-tsne.png"]
    text = (out / "datasets" / "someone-gm-tiny.html").read_text("utf-8")
    assert f'"tsne":"pictures/{path.stem}-tsne.png"' in text


def test_sources_show_samples_and_the_audit_of_their_own_revision(
    root: Path, add: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    card = tmp_path / "cards" / "gm-made"
    (card / "contact").mkdir(parents=True)
    (card / "recipe.yaml").write_text("name: gm-made\n")
    (card / "contact" / "gan-a.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    audit = {"dataset": {"content_hash": "ab" * 32}, "findings": [{"text": "a <b>confound</b>"}]}
    (card / "audit.json").write_text(json.dumps(audit))
    monkeypatch.setenv("FPBENCH_CARDS", str(tmp_path / "cards"))
    add(method="prnu", dataset="gm-made")
    write_site(root, tmp_path / "one")
    page = Page(tmp_path / "one" / "datasets" / "gm-made.html")
    samples = [a["alt"] for a in page.all("img") if "chart" not in (a.get("class") or "")]
    assert samples == ["Sample images of gan-a"]
    assert "a <b>confound</b>" in "".join(page.data)
    audit["dataset"] = {"content_hash": "other"}
    (card / "audit.json").write_text(json.dumps(audit))
    write_site(root, tmp_path / "two")
    text = (tmp_path / "two" / "datasets" / "gm-made.html").read_text("utf-8")
    assert "No audit of this revision is known here" in text


def test_records_link_to_where_the_folder_can_be_read(root: Path, add: Any, tmp_path: Path) -> None:
    path = add(method="prnu")
    write_site(root, tmp_path / "site", records_url="https://example.org/tree/leaderboards/")
    page = Page(tmp_path / "site" / "methods" / "prnu.html")
    expected = f"https://example.org/tree/leaderboards/results/someone-gm-tiny/prnu/{path.name}"
    assert expected in [a.get("href") for a in page.all("a")]
    with pytest.raises(BadInput, match="no web address"):
        write_site(root, tmp_path / "x", records_url="javascript:alert(1)")


def test_no_record_makes_a_site_that_says_so(root: Path, tmp_path: Path) -> None:
    write_site(root, tmp_path / "site")
    assert "There are no records yet" in (tmp_path / "site" / "index.html").read_text("utf-8")
