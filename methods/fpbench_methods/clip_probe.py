"""A linear probe of an intermediate block of CLIP (Cioni et al., 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import (
    Budget,
    File,
    FitContext,
    MethodCard,
    MethodDeclined,
    Range,
    Variant,
)
from fpbench_methods.bases.classifiers import Classifier, LogisticRegression
from fpbench_methods.bases.features import FeatureMethod
from fpbench_methods.bases.saved import Arrays, Facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench_methods.nn.transformer_blocks import TransformerBlocks

_CLIP = "vit_base_patch16_clip_224.laion2b"
_DINO = "vit_base_patch14_dinov2.lvd142m"
_SIDES = {"smoke": 32, "small": 64, "full": 224}
_GRID = (0.001, 0.01, 0.1, 1.0)


class ClipProbe(FeatureMethod):
    """The class token after a block of a frozen transformer, and multinomial logistic regression.

    Args:
        backbone: timm's name of a vision transformer.
        block: Which block, from 0; None tries every one on validation images and keeps the best.
        crop: Cut the middle out instead of resizing.
        side: Height and width that the transformer sees; None lets the budget decide.
        pretrained: Use trained weights; without them the transformer is random.
        weights: A file that holds them, or None for the Hub.
    """

    batch = 64
    smoke_images = 8

    card: ClassVar[MethodCard] = MethodCard(
        name="clip-probe",
        title=("Are CLIP Features All You Need for Universal Synthetic Image Origin Attribution?"),
        authors="Cioni, Tzelepis, Seidenari, Patras",
        year=2024,
        citation=(
            "@inproceedings{cioni2024clip,\n"
            "  title = {Are {CLIP} Features All You Need for Universal Synthetic Image Origin"
            " Attribution?},\n"
            "  author = {Cioni, Dario and Tzelepis, Christos and Seidenari, Lorenzo and Patras,"
            " Ioannis},\n"
            "  booktitle = {European Conference on Computer Vision Workshops},\n"
            "  year = {2024},\n"
            "  eprint = {2408.09153}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "resize": Variant("CLIP ViT-B/16, images resized (bicubic, antialiased)"),
            "crop": Variant("CLIP ViT-B/16, the middle of the image", {"crop": True}),
            "dinov2": Variant("DINOv2 ViT-B/14 instead of CLIP", {"backbone": _DINO}),
        },
        min_size=16,
        faithful=(
            "Frozen ViT-B/16 of CLIP trained on LAION-2B, class token of an intermediate block "
            "(not the final projection, which keeps what an image shows), logistic regression "
            "with an L2 penalty and at most 1,000 iterations.",
            "The block is chosen on validation images.",
        ),
        different=(
            "The paper trains on 4,000 images per source; here, on what the data set has.",
            "Budget small shows the transformer 64×64 pixels and smoke 32×32, with positions "
            "interpolated, instead of 224×224, which costs 12 times more.",
            "No open-set part, no nearest neighbours.",
        ),
        needs=(f"weights of timm/{_CLIP} (about 340 MiB)",),
        url="https://arxiv.org/abs/2408.09153",
    )

    def __init__(
        self,
        *,
        backbone: str = _CLIP,
        block: Annotated[int | None, Range(0, 1000)] = None,
        crop: bool = False,
        side: Annotated[int | None, Range(14, 2048)] = None,
        pretrained: bool = True,
        weights: Annotated[str | None, File()] = None,
    ) -> None:
        self.backbone = backbone
        self.block = block
        self.crop = crop
        self.side = side
        self.pretrained = pretrained
        self.weights = weights
        self._network: TransformerBlocks | None = None
        self._side = 0
        self._block = 0

    def prepare(self, train: ImageSet, validation: ImageSet, context: FitContext) -> None:
        """Fetch the transformer, and choose the block."""
        from fpbench.compute.device import seeded

        self._side = self.side or _SIDES[context.budget]
        if self.crop and min(train.size) < self._side:
            h, w = train.size
            raise MethodDeclined(
                f"clip-probe:crop cannot cut {self._side}x{self._side} pixels out of {h}x{w}; use "
                f"--set side={min(h, w)} or the variant resize."
            )
        with seeded(context.seed, "clip-probe", "weights"):
            network = self._transformer(self.pretrained)
        if self.block is not None and self.block >= network.depth:
            raise ValueError(f"block={self.block}: {self.backbone} has {network.depth} blocks")
        self._network = network.to(context.device).eval()
        self._block = network.depth // 2 if self.block is None else self.block
        if self.block is None and len(validation):
            self._block = self._best_block(train, validation, context)

    def _transformer(self, pretrained: bool) -> TransformerBlocks:
        from fpbench_methods.nn.transformer_blocks import TransformerBlocks

        return TransformerBlocks(
            self.backbone, self._side, crop=self.crop, pretrained=pretrained, weights=self.weights
        )

    def _best_block(self, train: ImageSet, validation: ImageSet, context: FitContext) -> int:
        """The block whose class token gives the least validation log-loss."""
        depth = self.fitted(self._network).depth
        tokens = [self._tokens(images, None) for images in (train, validation)]
        losses = []
        for block in range(depth):
            context.progress("choose the block", block, depth)
            mean, deviation = tokens[0][:, block].mean(axis=0), tokens[0][:, block].std(axis=0)
            rows = [(t[:, block] - mean) / np.maximum(deviation, 1e-6) for t in tokens]
            found = LogisticRegression((0.01,)).fit(
                (rows[0], train.labels),
                (rows[1], validation.labels),
                classes=len(train.sources),
                seed=context.seed,
            )
            proba = found.predict_proba(rows[1])[np.arange(len(rows[1])), validation.labels]
            losses.append(-np.log(np.maximum(proba.astype(np.float64), 1e-12)).mean())
        return int(np.argmin(losses))

    def _tokens(self, images: ImageSet, block: int | None) -> NDArray[np.float32]:
        """Class tokens after one block (N, D), or after all of them (N, depth, D)."""
        from fpbench.compute.inference import predict

        network = self.fitted(self._network)
        return predict(
            network,
            images.pixels,
            batch=self.batch,
            prepare=network.prepare,
            forward=lambda x: network.tokens(x, block),
            device=self._device,
        )

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Class tokens after the chosen block, shape (N, D)."""
        return self._tokens(ImageSet(pixels), self._block)

    def make_classifier(self, budget: Budget) -> Classifier:
        """Multinomial logistic regression."""
        return LogisticRegression((0.01,) if budget == "smoke" else _GRID)

    def extra_facts(self) -> Facts:
        """The side and the block that were used."""
        return {"_side": self._side, "_block": self._block}

    def extra_arrays(self) -> Arrays:
        """The transformer's weights."""
        from fpbench_methods.nn.weights import weights_to_arrays

        return weights_to_arrays(self.fitted(self._network), prefix="")

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """Take back the transformer."""
        from fpbench_methods.nn.weights import weights_from_arrays

        self._side, self._block = facts["_side"], facts["_block"]
        network = self._transformer(pretrained=False)
        weights_from_arrays(network, arrays, prefix="")
        self._network = network
