"""``unavailable``: a source that is not available yet; it is listed, never dropped."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fpbench.datasets.origins.origin import Origin


class UnavailableOrigin(Origin):
    """A source of the paper's list that cannot be built yet.

    Attributes:
        reason: Why not.
    """

    kind: Literal["unavailable"]
    reason: str = Field(min_length=10)

    def why_missing(self) -> str | None:
        """The reason."""
        return self.reason
