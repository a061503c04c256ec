"""The DNA-Det plugin: two stages of training, judged on whole images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, MethodCard, Variant
from fpbench_methods.bases.network import NetworkMethod

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.dnadet.network import SimpleCNN

_RESIZED = 512
_PATCH = 64
_PATCHES = {"smoke": 2, "small": 2, "full": 16}
_FIRST_STEPS = {"smoke": 2, "small": 40}
_BATCH = 32
_STEPS_OF_RATE = 500


class DNADet(NetworkMethod["SimpleCNN"]):
    """Learns first to name image transformations, then the source of every patch.

    Args:
        resize: Resize every image to 512×512 first, as the released code does.
        pretrain: Whether the first stage is run.
        positives: Patches that attract each other in the second stage: those of one ``source``
            or of one ``architecture``.
        length: See `NetworkMethod`.
    """

    batch = 64

    card: ClassVar[MethodCard] = MethodCard(
        name="dnadet",
        title="Deepfake Network Architecture Attribution",
        authors="Yang, Huang, Cao, Li, Li",
        year=2022,
        citation=(
            "@inproceedings{yang2022deepfake,\n"
            "  title = {Deepfake Network Architecture Attribution},\n"
            "  author = {Yang, Tianyun and Huang, Ziyao and Cao, Juan and Li, Lei and Li,"
            " Xirong},\n"
            "  booktitle = {AAAI Conference on Artificial Intelligence},\n"
            "  volume = {36},\n"
            "  number = {4},\n"
            "  pages = {4662--4670},\n"
            "  year = {2022},\n"
            "  eprint = {2202.13843}\n"
            "}"
        ),
        licence="MIT",
        version="2",
        variants={
            "native": Variant("images at their own size"),
            "paper": Variant("images resized to 512×512 first", {"resize": True}),
            "architecture": Variant(
                "patches of one architecture attract each other", {"positives": "architecture"}
            ),
            "second-stage": Variant("without the first stage", {"pretrain": False}),
        },
        min_size=16,
        faithful=(
            "Four blocks of two convolutions, 64 to 512 wide, global average, dropout, one linear "
            "layer; input in [−1, 1].",
            "First stage: 170 classes of JPEG, double JPEG, blur, median, resizing and noise; "
            "batches of 128, Adam at 1e-4.",
            "Second stage: every random 64×64 patch passes through the network; cross-entropy plus "
            "a supervised contrastive loss (τ = 0.07) on a projection to 128 values, weighted by "
            "learned uncertainties with a rate of their own (0.01); Adam at 1e-4, times 0.9 every "
            "500 steps, batches of 32.",
            "A test image passes whole.",
        ),
        different=(
            "Cross-entropy over sources, not over architectures: a board names sources.",
            "The default does not resize to 512: one resampler would be laid over all sources. "
            "Images of less than 86 pixels give patches of three quarters of their side (at least "
            "16).",
            "First stage on the reference images (budgets smoke and small: a 64×64 crop of larger "
            "ones); strengths of noise (deviations of 3 to 29), the "
            "first quality of a double JPEG (drawn from 30 to 99) and the probability of "
            "dropout (0.5) could not be established.",
            "Budgets: first stage 50 epochs in full, 40 steps in small, 2 in smoke, instead of 50 "
            "epochs; second stage 30, 8 and 1 epochs with 16, 2 and 2 patches per image.",
        ),
        url="https://arxiv.org/abs/2202.13843",
    )
    any_size = True

    def __init__(
        self,
        *,
        resize: bool = False,
        pretrain: bool = True,
        positives: Literal["source", "architecture"] = "source",
        **length: Any,
    ) -> None:
        super().__init__(**length)
        self.resize = resize
        self.pretrain = pretrain
        self.positives = positives

    def build(self, classes: int, *, initial: bool) -> SimpleCNN:
        """The network from scratch."""
        from fpbench_methods.dnadet.network import SimpleCNN

        return SimpleCNN(classes)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """The second stage; its rate falls by the epoch as much as 0.9 every 500 steps would."""
        from fpbench.compute.training_plan import TrainingPlan

        steps = -(-images // _BATCH)
        return TrainingPlan(
            epochs={"smoke": 1, "small": 8, "full": 30}[budget],
            batch=_BATCH,
            optimiser="adam",
            lr=1e-4,
            schedule="exponential",
            gamma=0.9 ** (steps / _STEPS_OF_RATE),
        )

    def prepare(self, batch: Tensor) -> Tensor:
        """[−1, 1], resized to 512×512 where wanted."""
        import torch.nn.functional as F

        from fpbench.compute.inference import signed_range

        signed = signed_range(batch)
        if self.resize and signed.shape[-2:] != (_RESIZED, _RESIZED):
            return F.interpolate(signed, (_RESIZED, _RESIZED), mode="bilinear", antialias=True)
        return signed

    def learn(
        self,
        trained: nn.Module,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Both stages."""
        network = self.fitted(self._network)
        if self.pretrain:
            images = reference if len(reference) else train
            self._learn_transformations(network, images.pixels, context)
        self._learn_patches(network, train, validation, context)

    def _learn_transformations(
        self, network: SimpleCNN, pixels: NDArray[np.uint8], context: FitContext
    ) -> None:
        """First stage: each step transforms 128 images anew and names the transformations."""
        import torch
        from torch import nn
        from torch.nn import functional

        from fpbench.compute.device import seeded
        from fpbench.compute.training import train as train_network
        from fpbench.compute.training_plan import TrainingPlan
        from fpbench_methods.bases.crops import drawn
        from fpbench_methods.dnadet.transformations import apply, transformations

        known = transformations()
        if self._crop is not None:
            pixels = drawn(pixels, self._crop, 1, context.seed, "dnadet", "reference")
        with seeded(context.seed, "dnadet", "transformations"):
            head = nn.Linear(512, len(known))
        both = nn.ModuleDict({"network": network, "head": head}).to(context.device)

        def loss(batch: Tensor) -> Tensor:
            generator = np.random.default_rng(int(torch.randint(2**62, (1,))))
            labels = generator.integers(len(known), size=len(batch))
            changed = np.stack(
                [
                    apply(known[label], np.ascontiguousarray(pixels[index]), generator)
                    for index, label in zip(batch.tolist(), labels, strict=True)
                ]
            )
            stored = torch.from_numpy(changed).to(context.device).permute(0, 3, 1, 2)
            logits = head(network.embed(self.prepare(stored)))
            return functional.cross_entropy(
                logits.float(), torch.from_numpy(labels).to(context.device)
            )

        train_network(
            both,
            TrainingPlan(epochs=50 if context.budget == "full" else 1, batch=128, lr=1e-4),
            loss,
            sampler=_first_batches(len(pixels), _FIRST_STEPS.get(context.budget)),
            seed=context.seed,
            device=context.device,
            what="learn transformations",
            progress=context.progress,
        )

    def _learn_patches(
        self,
        network: SimpleCNN,
        train: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Second stage: patches of every image, named and contrasted."""
        import torch
        from torch.nn import functional

        from fpbench.compute.device import seeded
        from fpbench.compute.inference import ArrayOnDevice, predict
        from fpbench.compute.training import train as train_network
        from fpbench_methods.bases.crops import within_area
        from fpbench_methods.dnadet.network import PatchTraining
        from fpbench_methods.nn.augmentation import random_crop

        with seeded(context.seed, "dnadet", "projection"):
            training = PatchTraining(network).to(context.device)
        images = ArrayOnDevice(train.pixels, context.device)
        targets = torch.from_numpy(train.labels.copy()).to(context.device)
        groups = torch.from_numpy(self._groups(train)).to(context.device)
        patches = _PATCHES[context.budget]

        def loss(batch: Tensor) -> Tensor:
            stored = images[batch]
            if self.resize:
                stored = self.prepare(stored)
            side = min(_PATCH, max(self.card.min_size, 3 * min(stored.shape[-2:]) // 4))
            crops = torch.cat([random_crop(stored, side) for _ in range(patches)])
            index = batch.to(context.device)
            return training.loss(
                crops if self.resize else self.prepare(crops),
                targets[index].repeat(patches),
                groups[index].repeat(patches),
            )

        validate = None
        if len(validation):
            held_out = ArrayOnDevice(validation.pixels, context.device)
            truth = torch.from_numpy(validation.labels.copy())

            def validate() -> float:
                logits = predict(
                    network,
                    held_out,
                    batch=within_area(self.batch, validation.size),
                    prepare=self.prepare,
                    device=context.device,
                )
                return float(functional.cross_entropy(torch.from_numpy(logits), truth))

        train_network(
            training,
            self.chosen_plan(context.budget, len(train)),
            loss,
            examples=len(train),
            validate=validate,
            crop=_PATCH if min(train.size) > _PATCH else None,
            guess=math.log(len(np.unique(train.labels))),
            groups=[
                {"params": [*network.parameters(), *training.projection.parameters()]},
                {"params": [training.log_variances], "lr": 0.01},
            ],
            seed=context.seed,
            device=context.device,
            what="learn patches",
            progress=context.progress,
        )

    def _groups(self, train: ImageSet) -> NDArray[np.int64]:
        """What patches of each training image share with those that attract them."""
        if self.positives == "source":
            return train.labels.copy()
        names = [source.architecture for source in train.sources]
        _, groups = np.unique(names, return_inverse=True)
        found: NDArray[np.int64] = groups.astype(np.int64)[train.labels]
        return found


def _first_batches(examples: int, steps: int | None) -> Callable[[int, Generator], list[Tensor]]:
    """Shuffled batches of 128, those of one epoch or, where `steps` is given, so many."""

    def sample(epoch: int, generator: Generator) -> list[Tensor]:
        import torch

        from fpbench.compute.training import shuffled_batches

        if steps is None:
            return list(shuffled_batches(examples, 128)(epoch, generator))
        return [torch.randint(examples, (128,), generator=generator) for _ in range(steps)]

    return sample
