"""What is wrong with a document is one sentence that names it."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from fpbench.documents import Document, parse_json, read_limited, told
from fpbench.errors import BadInput


class Point(Document):
    x: int
    y: int


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(ValidationError) as error:
        Point.model_validate({"x": 1, "z": 2})
    assert told(error.value) == "y: Field required (and 1 more problem)"
    with pytest.raises(ValidationError) as error:
        Point.model_validate({"x": 1, "y": 2, "z": 2})
    assert told(error.value).startswith("z: ")
    assert Point(x=1, y=2).json_text() == '{\n  "x": 1,\n  "y": 2\n}\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a record: it holds a list"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": 1e999}', "1e999 is not a number"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_document_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        parse_json(text, Path("r.json"), "record")


def test_only_plain_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no record"):
        read_limited(tmp_path / "none", "record")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(BadInput, match="is no plain file"):
        read_limited(tmp_path / "zero", "record")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is no plain file"):
        read_limited(tmp_path / "pipe", "record")
    (tmp_path / "large").write_bytes(b" " * 2000)
    with pytest.raises(BadInput, match="no record is that large"):
        read_limited(tmp_path / "large", "record", largest=1000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="Cannot read the record"):
        read_limited(tmp_path / "binary", "record")
