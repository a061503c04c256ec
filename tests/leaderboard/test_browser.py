"""The site in a real Chromium: sorted, filtered, compared, by keyboard, small and dark.

Screenshots are kept in the folder named by FPBENCH_SCREENSHOTS, if that is set.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _beside(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"leaderboard_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


chromium = _beside("chromium")
pytestmark = [pytest.mark.browser, chromium.needs_browser]

EVIL = "<script>alert(1)</script>"
PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "published.yaml"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.started() as window:
        yield window


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fpbench.leaderboard.output.site.write import write_site

    made = _beside("conftest")
    folder = tmp_path_factory.mktemp("boards")
    root = folder / "leaderboards"
    root.mkdir()
    (root / "published.yaml").write_text(PUBLISHED.read_text("utf-8"), "utf-8")
    rows: list[dict[str, Any]] = [
        {"method": "best", "skill": 0.95},
        {"method": "near", "skill": 0.93},
        {"method": "middle", "skill": 0.7, "variant": "freq"},
        {"method": "far", "skill": 0.4},
        {"method": EVIL, "variant": '"><img src=x onerror=alert(2)>', "skill": 0.3},
        {"method": "best", "budget": "full", "skill": 0.9},
        {"method": "far", "budget": "full", "skill": 0.5},
    ]
    for number, row in enumerate(rows):
        run = made.write_run(folder / str(number), dataset="gm-ffhq", shortcut=0.8, **row)
        made.put(root, run, {"deterministic": ["wavelet"]})
    _, problems = write_site(root, folder / "site")
    assert problems == ()
    return folder / "site"


@pytest.fixture
def board(browser: Any, site: Path) -> Iterator[Any]:
    browser.open(site / "datasets" / "gm-ffhq.html")
    yield browser
    assert browser.complaints() == []


SMALL = "[data-section=section-2]"
NAMES = f"{SMALL} tbody th a:not(.cite)"


def shoot(browser: Any, name: str) -> None:
    if "FPBENCH_SCREENSHOTS" in os.environ:
        browser.screenshot(Path(os.environ["FPBENCH_SCREENSHOTS"]) / f"{name}.png")


def settle(browser: Any) -> None:
    """Wait until all rows that were asked for stand."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser.driver, 10).until(
        lambda driver: not driver.find_elements("css selector", "table[aria-busy=true]")
    )


def heading(browser: Any, title: str) -> Any:
    return browser.run(
        "return [...document.querySelectorAll(arguments[0] + ' thead th')]"
        ".find(th => th.textContent.trim() === arguments[1])",
        SMALL,
        title,
    )


def test_sorting_by_click_and_by_keyboard(board: Any) -> None:
    assert board.texts(NAMES)[0] == "best:wavelet"
    th = heading(board, "accuracy")
    button = th.find_element("css selector", "button")
    board.run("arguments[0].click()", button)
    assert th.get_attribute("aria-sort") == "descending"
    button.send_keys("\ue007")  # Enter
    assert th.get_attribute("aria-sort") == "ascending"
    assert [name.split(":")[0] for name in board.texts(NAMES)] == [
        EVIL, "far", "middle", "near", "best",
    ]  # fmt: skip
    names = heading(board, "method")
    board.run("arguments[0].querySelector('button').click()", names)
    assert board.texts(NAMES)[1:3] == ["best:wavelet", "far:wavelet"]
    assert th.get_attribute("aria-sort") == "none"
    # The other section is a table of its own.
    assert board.texts("[data-section=section-1] tbody th a:not(.cite)") == [
        "best:wavelet",
        "far:wavelet",
    ]


def test_sorting_costs_by_seconds_and_dashes_last(board: Any) -> None:
    found = board.run(
        """
        document.querySelector('input[data-column=fit]').click();
        const table = document.querySelector(arguments[0] + ' table');
        const row = table.tBodies[0].rows;
        const column = [...table.tHead.rows[1].cells].findIndex(c => c.textContent === 'fit');
        ['90', '5', null, '7300'].forEach((v, k) => {
          const cell = row[k].cells[column];
          if (v === null) { cell.removeAttribute('data-v'); cell.textContent = '–'; }
          else { cell.setAttribute('data-v', v); cell.textContent = v + ' s'; }
        });
        const button = table.tHead.rows[1].cells[column].querySelector('button');
        button.click(); const first = [...row].map(r => r.cells[column].textContent);
        button.click(); return [first, [...row].map(r => r.cells[column].textContent)];
        """,
        SMALL,
    )
    assert found[0] == ["7300 s", "90 s", "5 s", "1.5 s", "–"]
    assert found[1] == ["1.5 s", "5 s", "90 s", "7300 s", "–"]


def test_filtering_by_text_and_section(board: Any) -> None:
    box = board.one(".filters input[type=search]")
    box.send_keys("FREQ")
    assert board.texts("#boards tbody th a:not(.cite)") == ["middle:freq"]
    assert board.texts(".filters [role=status]") == ["1 of 7 rows"]
    box.clear()
    box.send_keys(" ")
    select = board.one("select[data-filter=section]")
    board.run(
        "arguments[0].value = 'section-1'; arguments[0].dispatchEvent(new Event('change'))", select
    )
    assert board.texts("#boards h2") == ["Budget full"]
    assert board.texts(".filters [role=status]") == ["2 of 7 rows"]


def test_columns_are_shown_in_groups(board: Any) -> None:
    def shown() -> list[str]:
        return board.texts(f"{SMALL} thead tr.groups th")  # type: ignore[no-any-return]

    def press(column: str) -> None:
        board.run(f"document.querySelector('input[data-column=\"{column}\"]').click()")

    assert shown() == ["Attribution of single images", "Attribution of bags"]
    titles = board.texts(f"{SMALL} thead tr:last-child th")
    assert [title.split()[0] for title in titles] == [
        "method", "rank", "accuracy", "AUC", "bags", "runs",
    ]  # fmt: skip
    press("fit")
    assert shown()[-1] == "Cost"
    press("accuracy")
    press("auc")
    assert shown() == ["Attribution of bags", "Cost"]


def test_what_is_chosen_stands_in_the_address(board: Any) -> None:
    board.one(".filters input[type=search]").send_keys("a author")
    board.run("document.querySelector('input[data-column=\"auc\"]').click()")
    board.run("arguments[0].querySelector('button').click()", heading(board, "accuracy"))
    board.run("arguments[0].querySelector('button').click()", heading(board, "accuracy"))
    choose(board, "#compare-section", "Budget small")
    choose(board, "#compare-first", "far:wavelet")
    choose(board, "#explore-what", "this row gets wrong")
    link = board.one("a.cite")
    board.run("arguments[0].click()", link)
    name = link.get_attribute("href").partition("#")[2].partition("?")[0]
    before = [board.texts(selector) for selector in (NAMES, "#compare-result", "#explore-count")]
    cited = board.run("return document.querySelector('#row-bibtex').textContent")
    assert name.removeprefix("row-") in cited and "Records " in cited and "2026" in cited
    address = board.run("return location.href")
    for part in (name, "columns=accuracy%2Caccuracy_bag10", "sort1=accuracy+ascending",
                 "first=far%3Awavelet"):  # fmt: skip
        assert part in address, part
    board.driver.get("about:blank")
    board.driver.get(address)
    found = [board.texts(selector) for selector in (NAMES, "#compare-result", "#explore-count")]
    assert found == before
    assert [name.split(":")[0] for name in found[0]][-1] == "best"
    assert board.run("return document.querySelector('#row-bibtex').textContent") == cited
    assert "AUC" not in " ".join(board.texts(f"{SMALL} thead th"))
    assert board.run("return document.querySelector('#row-records a').href").endswith(".json")


def test_images_are_listed_by_who_gets_them_wrong(board: Any, site: Path) -> None:
    from fpbench.leaderboard.output.build import read_leaderboards

    (made,) = read_leaderboards(site.parent / "leaderboards").boards
    rows = made.sections[0].rows
    right = [row.judged.summary.correct > 0.5 for row in rows]
    choose(board, "#explore-what", "no row attributes correctly")
    hard = sum(not any(image) for image in zip(*right, strict=True))
    assert board.texts("#explore-count")[0].startswith(f"{hard} of {len(right[0])} images")
    choose(board, "#explore-what", "this row alone gets wrong")
    choose(board, "#explore-row", rows[0].label)
    alone = sum(not a and b for a, b in zip(*right, strict=True))
    assert board.texts("#explore-count")[0].startswith(f"{alone} of ")


def test_long_boards_show_their_first_rows_until_all_are_asked_for(
    browser: Any, site: Path
) -> None:
    page = site / "datasets" / "gm-ffhq.html"
    text = page.read_text("utf-8")
    row = re.search(
        r'<tr id="row-[^>]*><th scope="row"><a [^>]*>far:<wbr>wavelet.*?</tr>', text, re.DOTALL
    )
    assert row is not None
    copies = "".join(row[0].replace("far:<wbr>wavelet", f"copy {k}") for k in range(300))
    long = page.with_name("long.html")
    long.write_text(text.replace(row[0], row[0] + copies, 1), "utf-8")
    browser.open(long)
    rows = "[data-section=section-1] tbody tr"
    assert len(browser.texts(rows)) == 200
    button = browser.one("button.more")
    assert button.text == "Show all 302 rows"
    browser.run("document.querySelectorAll('#boards thead button')[2].click()")
    # The first screens come at once, the rest in the frames that follow.
    assert 80 <= len(browser.texts(rows)) <= 200
    settle(browser)
    assert len(browser.texts(rows)) == 200
    assert browser.texts(rows)[0].startswith("best")
    browser.one(".filters input[type=search]").send_keys("copy 29")
    # Each word is looked for by itself, so "copy 129" is found too.
    found = [f"copy {k}" for k in range(300) if "29" in str(k)]
    assert browser.texts("[data-section=section-1] tbody th a:not(.cite)") == found
    assert not button.is_displayed()
    browser.one(".filters input[type=search]").clear()
    browser.one(".filters input[type=search]").send_keys(" ")
    browser.run("arguments[0].click()", button)
    settle(browser)
    assert len(browser.texts(rows)) == 302
    # Sorting twice in a row leaves no row behind, and the page does not jump meanwhile.
    found = browser.run(
        """
        const buttons = document.querySelectorAll('#boards thead button');
        window.scrollTo(0, 300);
        const before = window.scrollY, tall = document.documentElement.scrollHeight;
        buttons[0].click(); buttons[2].click(); buttons[2].click();
        void document.body.offsetHeight;
        return [before, window.scrollY, tall, document.documentElement.scrollHeight];
        """
    )
    assert found[0] == found[1] == 300
    assert found[2] == found[3]
    settle(browser)
    assert len(browser.texts(rows)) == 302
    assert browser.texts(rows)[-1].startswith("best")
    assert browser.complaints() == []
    long.unlink()


def exponential(p: float) -> str:
    """As JavaScript writes it: ``1.2e-9`` where Python has ``1.2e-09``."""
    return re.sub(r"e-0*", "e-", f"{p:.1e}")


def choose(board: Any, selector: str, text: str) -> None:
    board.run(
        """
        const select = document.querySelector(arguments[0]);
        select.value = [...select.options].find(o => o.textContent === arguments[1]).value;
        select.dispatchEvent(new Event('change'));
        """,
        selector,
        text,
    )


def test_comparing_two_rows_says_what_the_ranks_rest_on(board: Any, site: Path) -> None:
    from fpbench.leaderboard.output.build import read_leaderboards

    (made,) = read_leaderboards(site.parent / "leaderboards").boards
    pairs, rows = made.sections[1].pairs, made.sections[1].rows
    assert [row.job.method for row in rows[:4]] == ["best", "near", "middle", "far"]
    choose(board, "#compare-section", "Budget small")
    choose(board, "#compare-first", "best:wavelet")
    choose(board, "#compare-second", "far:wavelet")
    (said,) = board.texts("#compare-result")
    gap, half = pairs.difference[0, 3], pairs.halfwidth[0, 3]
    assert said == (
        f"best:wavelet less far:wavelet in accuracy: +{gap:.3f}, 95 % interval of this difference "
        f"alone [+{gap - half:.3f}, +{gap + half:.3f}], p = {exponential(pairs.p_value[0, 3])}; "
        f"corrected by Holm for all 10 pairs of this section p = "
        f"{exponential(pairs.corrected[0, 3])}. Significantly different."
    )
    shoot(board, "compare")
    choose(board, "#compare-second", "near:wavelet")
    said = board.texts("#compare-result")[0]
    assert f"p = {pairs.p_value[0, 1]:.2g}; " in said
    assert said.endswith("Not significantly different.")
    choose(board, "#compare-second", "middle:freq")
    assert board.texts("#compare-result")[0].endswith(
        "different. middle:freq is one run: this tells of this run, not of the method."
    )
    choose(board, "#compare-second", "near:wavelet")
    # Sorting the board moves its rows, not what is compared.
    board.run("arguments[0].querySelector('button').click()", heading(board, "accuracy"))
    board.run("arguments[0].querySelector('button').click()", heading(board, "accuracy"))
    choose(board, "#compare-first", "far:wavelet")
    first = board.texts("#compare-table tbody tr:nth-child(4) td")
    ranked = dict(zip(board.texts(NAMES), board.texts(f"{SMALL} tbody td:nth-child(3)"),
                      strict=True))  # fmt: skip
    assert first == [ranked["far:wavelet"], ranked["near:wavelet"]]
    choose(board, "#compare-second", "far:wavelet")
    assert board.texts("#compare-result") == ["Choose two different rows."]


def test_pictures_follow_the_chosen_row(board: Any) -> None:
    assert len(board.texts("#picture-place table.matrix")) == 2
    cells = board.texts("#picture-place table.matrix:first-of-type tbody td")
    assert len(cells) == 16 + 9
    told = board.run("return document.querySelector('svg.tree title').textContent")
    assert re.search(r"gan-(a|b) joins gan-(a|b) at 0\.40; .*vae-c.* at 0\.90$", told)
    first = board.texts("#picture-place")[0]
    board.run(
        "const s = document.querySelector('#picture-row'); s.selectedIndex = 4;"
        "s.dispatchEvent(new Event('change'))"
    )
    assert board.texts("#picture-place")[0] != first
    board.run("document.querySelector('#figures').scrollIntoView()")
    shoot(board, "pictures")


def test_everything_is_reached_by_keyboard(board: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    reached = []
    for _ in range(40):
        board.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(
            board.run(
                "const e = document.activeElement;"
                "return e.id || e.getAttribute('role') || e.type || e.tagName"
            )
        )
    assert reached[0] == "A"  # the link that skips to the content
    assert "theme" in reached
    assert "search" in reached
    assert "SUMMARY" in reached
    assert "region" in reached  # tables scroll with the arrow keys
    width = board.run("const e = document.activeElement; return getComputedStyle(e).outlineStyle")
    assert width != "none"


def test_theme_can_be_chosen_and_is_kept(browser: Any, site: Path) -> None:
    page = site / "datasets" / "gm-ffhq.html"

    def ground() -> str:
        return browser.run(  # type: ignore[no-any-return]
            "return getComputedStyle(document.body).backgroundColor"
        )

    browser.open(page)
    light = ground()
    browser.open(page, dark=True)
    dark = ground()
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    shoot(browser, "dark")
    browser.one("#theme").click()
    assert browser.one("#theme").text == "Theme: light"
    assert ground() == light
    browser.open(site / "index.html", dark=True)
    assert ground() == light
    browser.one("#theme").click()
    assert browser.one("#theme").text == "Theme: dark"
    browser.one("#theme").click()
    assert browser.one("#theme").text == "Theme: automatic"
    assert browser.complaints() == []


def contrast(one: list[int], two: list[int]) -> float:
    def luminance(rgb: list[int]) -> float:
        parts = [v / 255 for v in rgb]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted([luminance(one), luminance(two)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Any, site: Path, dark: bool) -> None:
    browser.open(site / "datasets" / "gm-ffhq.html", dark=dark)
    pairs = browser.run(
        """
        const style = getComputedStyle(document.documentElement);
        const rgb = name => {
          const e = document.createElement('i'); e.style.color = `var(${name})`;
          document.body.appendChild(e);
          const c = getComputedStyle(e).color.match(/\\d+/g).map(Number); e.remove(); return c;
        };
        return ['--text', '--quiet', '--link', '--control'].flatMap(ink =>
          ['--ground', '--raised'].map(ground => [ink, ground, rgb(ink), rgb(ground)]));
        """
    )
    for ink, ground, one, two in pairs:
        assert contrast(one, two) >= (3 if ink == "--control" else 4.5), (ink, ground)


def test_a_phone_needs_no_sideways_scrolling(browser: Any, site: Path) -> None:
    for page in ("index.html", "datasets/gm-ffhq.html", "methods/best.html", "published.html",
                 "structure.html", "robustness.html", "scores.html"):  # fmt: skip
        browser.open(site / page, width=320, height=844)
        assert browser.run("return document.documentElement.scrollWidth") <= 320, page
        shoot(browser, "phone-" + Path(page).stem)
    browser.open(site / "datasets" / "gm-ffhq.html", width=320, height=844)
    card = f"{SMALL} tbody tr:first-child td:nth-child(3)"
    told = browser.run(
        "return getComputedStyle(document.querySelector(arguments[0]), '::before').content", card
    )
    assert told == '"accuracy"'
    assert browser.complaints() == []


def test_hostile_names_run_nothing(browser: Any, site: Path) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    for page in sorted(site.rglob("*.html")):
        browser.open(page)
        with pytest.raises(NoAlertPresentException):
            _ = browser.driver.switch_to.alert.text
        assert browser.run("return document.querySelectorAll('img[src=x]').length") == 0
        assert browser.complaints() == [], page
    browser.open(site / "datasets" / "gm-ffhq.html")
    assert any(name.startswith(EVIL) for name in browser.texts(NAMES))
    choose(browser, "#compare-section", "Budget small")
    assert EVIL in browser.run("return document.querySelector('#compare-first').textContent")


def test_links_between_pages_work(board: Any) -> None:
    board.run(
        "[...document.querySelectorAll(arguments[0])].find("
        "a => a.textContent === 'middle:freq').click()",
        NAMES,
    )
    assert board.texts("h1") == ["middle"]
    board.run("document.querySelector('#scores ~ .scroll td a').click()")
    assert board.texts("h1") == ["gm-ffhq"]
    shoot(board, "desktop")
