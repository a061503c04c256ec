"""Sections of a card: written, replaced, and nothing around them touched."""

from pathlib import Path

from fpbench.datasets.card_text import get_section, put_section


def test_sections_are_appended_and_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    put_section(tmp_path, "first", "## First\n\none\n")
    assert (
        page.read_text("utf-8") == "<!-- first: begin -->\n## First\n\none\n<!-- first: end -->\n"
    )
    put_section(tmp_path, "second", "## Second")
    page.write_text(page.read_text("utf-8") + "\nBy hand.\n", "utf-8")
    whole = page.read_text("utf-8")
    assert "end -->\n\n<!-- second" in whole

    put_section(tmp_path, "first", "## First\n\none")
    put_section(tmp_path, "second", "## Second")
    assert page.read_text("utf-8") == whole

    put_section(tmp_path, "first", "changed")
    assert page.read_text("utf-8") == whole.replace("## First\n\none", "changed")
    assert (get_section(tmp_path, "first"), get_section(tmp_path, "third")) == ("changed", "")
