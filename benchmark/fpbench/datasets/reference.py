"""A dataset as it is named: its place, and settings behind a question mark.

``my-images?split=0.5/0.15/0.35&groups=by-folder`` is one text, so that a plan, an executor on
another machine and a record all name the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote

from fpbench.errors import BadInput, suggest
from fpbench.files import expanded

HUB = "hub:"
"""How a reference to any dataset on the Hub begins; it names an image and a label column."""

_SAFE = "/:,.*@-_"


@dataclass(frozen=True)
class Reference:
    """A named dataset.

    Attributes:
        place: Name, folder or Hub id.
        settings: What is set beside, by name.
    """

    place: str
    settings: Mapping[str, str]

    def __str__(self) -> str:
        if not self.settings:
            return self.place
        pairs = (f"{key}={quote(value, safe=_SAFE)}" for key, value in self.settings.items())
        return f"{self.place}?{'&'.join(pairs)}"

    def refuse_others(self, known: Iterable[str], what: str) -> None:
        """Refuse settings that would have no effect.

        Args:
            known: Names of those that have one.
            what: What `place` is, for the message.

        Raises:
            BadInput: Naming the first other one.
        """
        names = list(known)
        for key in self.settings:
            if key not in names:
                hint = suggest(key, names) if names else "Leave it out."
                raise BadInput(f"{self.place!r} is {what}, which takes no setting {key!r}. {hint}")


def parse_reference(text: str) -> Reference:
    """The place and the settings of a reference; a folder that is there is taken as it is.

    Raises:
        BadInput: If a setting has no value or is given twice.
    """
    place, mark, query = text.rpartition("?")
    if not mark or _exists(text):
        return Reference(text, {})
    settings: dict[str, str] = {}
    for pair in query.split("&"):
        found = parse_qsl(pair, keep_blank_values=False)
        if len(found) != 1 or found[0][0] in settings:
            raise BadInput(
                f"{pair!r} of the dataset {text!r} is no setting; write each once, as key=value "
                "with & between them."
            )
        settings[found[0][0]] = found[0][1]
    return Reference(place, settings)


def with_settings(text: str, settings: Mapping[str, str | None]) -> str:
    """A reference with more settings; None leaves one as it is.

    Raises:
        BadInput: If one is set already.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    if not given:
        return text
    reference = parse_reference(text)
    for key in given:
        if key in reference.settings:
            raise BadInput(f"The dataset {text!r} sets {key!r} already; give it once.")
    return str(Reference(reference.place, {**reference.settings, **given}))


def _exists(text: str) -> bool:
    try:
        return expanded(Path(text)).exists()
    except (OSError, ValueError):
        return False
