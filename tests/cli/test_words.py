"""Words that no file can be called and no document can hold are told by every command."""

from pathlib import Path
from typing import Any

import pytest

from fpbench.cli import main


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(36, "File name too long", "x" * 300), "xxx...: File name too long; shorten it"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), "holds bytes that are no UTF-8"),
    ],
)
def test_it_is_the_words_fault(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fail(*arguments: Any, **settings: Any) -> Any:
        raise error

    monkeypatch.setattr(main.cli, "main", fail)
    with pytest.raises(SystemExit) as end:
        main.entry(["data", "list"])
    shown = capsys.readouterr().err
    assert end.value.code == 2 and told in shown and "fault" not in shown


def test_a_label_that_is_no_text_is_told(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "images" / "real").mkdir(parents=True)
    words = ["run", "--method", "majority", "--dataset", str(tmp_path / "images")]
    with pytest.raises(SystemExit) as end:
        main.entry([*words, "--label", "\udcff", "--offline", "--out", str(tmp_path / "runs")])
    shown = capsys.readouterr().err
    assert end.value.code == 2 and "fault" not in shown and "Traceback" not in shown
