"""``zoo``: a generative model that fpbench trains on the dataset's real images."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from fpbench.datasets.entries import SourceEntry, zoo_entry
from fpbench.datasets.origins.origin import Batches, Origin, Workplace

_BATCH = 128


class ZooOrigin(Origin):
    """A model that fpbench trains on the dataset's real images.

    Attributes:
        model: A row of the table in `fpbench.zoo.table`.
        seed: Of training and of sampling.
        minutes: Time limit of the training.
        steps: Limit of optimisation steps, or None for the time limit alone.
    """

    kind: Literal["zoo"]
    model: str
    seed: int = 0
    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)

    makes: ClassVar[bool] = True
    limits: ClassVar[frozenset[str]] = frozenset({"minutes", "steps"})

    def draw(self, name: str, count: int, at: Workplace, facts: dict[str, Any]) -> Batches:
        """Train the model, or take up its training, and sample it."""
        from fpbench.zoo.sample import sample
        from fpbench.zoo.table import model
        from fpbench.zoo.train import train

        trained = train(
            model(self.model),
            at.training(),
            checkpoint=at.scratch / f"{name}-{at.checkpoint[:8]}.safetensors",
            seed=self.seed,
            device=at.device,
            minutes=self.minutes,
            steps=self.steps,
            progress=at.progress,
        )
        facts.update(trained.describe())
        facts["sampling_seed"] = self.seed
        yield from sample(trained, count, seed=self.seed, batch=_BATCH)

    def depends_on(self, real: str) -> list[Any]:
        """The real images that it is trained on, and what its row of the zoo's table says."""
        from fpbench.zoo.table import model

        return [real, model(self.model).hyperparameters()]

    def described(self, entry: SourceEntry) -> SourceEntry:
        """The row as the table has it today; the card may say more."""
        row = zoo_entry(self.model)
        said = entry if entry.summary.startswith(row.summary) else row
        return said.model_copy(update={"design": row.design, "family": row.family})
