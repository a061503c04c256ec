"""How long each budget trains the set encoder; the paper states nothing."""

from __future__ import annotations

from dataclasses import dataclass

from fpbench.method import Budget


@dataclass(frozen=True)
class Length:
    """How long a budget trains.

    Attributes:
        epochs: Validations.
        steps: Steps between them.
        bag_size: Images of a bag.
        rate: Learning rate at the start.
        widths: Channels of φ.
    """

    epochs: int
    steps: int
    bag_size: int
    rate: float
    widths: tuple[int, ...]


LENGTHS: dict[Budget, Length] = {
    "smoke": Length(2, 10, 4, 1e-3, (16, 32, 64, 128)),
    "small": Length(12, 25, 8, 1e-3, (64, 128, 256, 256)),
    "full": Length(200, 100, 32, 3e-4, (64, 128, 256, 256)),
}
