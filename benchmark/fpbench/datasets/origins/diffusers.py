"""``diffusers``: a pretrained pipeline of `diffusers` by Hub id, sampled unconditionally."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fpbench.datasets.origins.origin import Batches, Origin, Workplace
from fpbench.datasets.origins.preprocess import Preprocess, preprocess
from fpbench.distribution import install_command
from fpbench.errors import BadInput

_BATCH = 8


class DiffusersOrigin(Origin):
    """A pretrained `diffusers` pipeline by Hub id, sampled unconditionally.

    Attributes:
        pipeline: Hub model id.
        revision: Commit of the model repository.
        steps: Denoising steps, or None for the pipeline's own number.
        eta: DDIM's eta where the scheduler takes one.
        seed: Of sampling.
        preprocess: Crop and resize.
    """

    kind: Literal["diffusers"]
    pipeline: str
    revision: str | None = None
    steps: int | None = Field(None, gt=0)
    eta: float | None = Field(None, ge=0)
    seed: int = 0
    preprocess: Preprocess = Field(default_factory=Preprocess)

    makes: ClassVar[bool] = True

    def draw(self, name: str, count: int, at: Workplace, facts: dict[str, Any]) -> Batches:
        """Sample the pipeline."""
        self.check(name, count, at)
        import torch
        from diffusers import DiffusionPipeline

        from fpbench.zoo.sample import quantise

        try:
            pipeline: Any = DiffusionPipeline
            pipeline = pipeline.from_pretrained(
                self.pipeline, revision=self.revision, local_files_only=at.offline
            )
        except (OSError, ValueError) as error:
            raise BadInput(
                f"Source {name!r}: the pipeline {self.pipeline} is not available from the Hub: "
                f"{str(error).splitlines()[0]}"
            ) from error
        pipeline = pipeline.to(at.device)
        pipeline.set_progress_bar_config(disable=True)
        options: dict[str, Any] = {}
        if self.steps is not None:
            options["num_inference_steps"] = self.steps
        if self.eta is not None:
            options["eta"] = self.eta
        facts.update(pipeline=self.pipeline, sampling_seed=self.seed, **options)
        place = f"an image of {self.pipeline}"
        for start in range(0, count, _BATCH):
            wanted = min(_BATCH, count - start)
            # One seed for each batch, so that a build can be repeated from any of them.
            generator = torch.Generator("cpu").manual_seed(self.seed * 1_000_003 + start)
            made = pipeline(batch_size=wanted, generator=generator, output_type="np", **options)
            batch = quantise(np.asarray(made.images) * 2 - 1)
            yield np.stack([preprocess(image, self.preprocess, place) for image in batch])
            if at.progress is not None:
                at.progress(f"sample {name}", start + wanted, count)

    def check(self, name: str, count: int, at: Workplace) -> None:
        """Refuse where `diffusers` is not installed."""
        if find_spec("diffusers") is None:
            raise BadInput(
                f"Source {name!r} needs diffusers, which is not installed; "
                f"{install_command('zoo')}."
            )
