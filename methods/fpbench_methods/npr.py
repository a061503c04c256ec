"""Neighbouring pixel relationships (Tan et al., CVPR 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, MethodCard, Variant
from fpbench_methods.bases.network import NetworkMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork


class NPR(NetworkMethod["AttributorNetwork"]):
    """Each pixel minus the top left one of its 2×2 cell, read by half a ResNet-50."""

    card: ClassVar[MethodCard] = MethodCard(
        name="npr",
        title=(
            "Rethinking the Up-Sampling Operations in CNN-based Generative Network for "
            "Generalizable Deepfake Detection"
        ),
        authors="Tan, Zhao, Wei, Gu, Liu, Wei",
        year=2024,
        citation=(
            "@inproceedings{tan2024rethinking,\n"
            "  title = {Rethinking the Up-Sampling Operations in {CNN}-based Generative Network"
            " for Generalizable Deepfake Detection},\n"
            "  author = {Tan, Chuangchuang and Zhao, Yao and Wei, Shikui and Gu, Guanghua and"
            " Liu, Ping and Wei, Yunchao},\n"
            "  booktitle = {Conference on Computer Vision and Pattern Recognition},\n"
            "  year = {2024},\n"
            "  eprint = {2312.10461}\n"
            "}"
        ),
        licence="MIT",
        version="2",
        variants={"cells": Variant("residual of 2×2 cells")},
        min_size=8,
        faithful=(
            "x − up(down(x, 1/2)) with nearest neighbours, times 2/3, into a ResNet-50 with a 3×3 "
            "stem that ends after its second stage, global average, one linear layer; Adam.",
            "Nothing is resized: any resampling destroys the phase of the cells.",
        ),
        different=(
            "K logits instead of one. An odd last row or column is cut off.",
            "Rate (2e-4, cosine), batch (32) and length (full 50, small 15, smoke 2 epochs) could "
            "not be established; no flips, which move the phase of the cells.",
            "Budgets smoke and small train on random 64×64 crops of larger images (at multiples of "
            "8 pixels, which keep the phase) and judge whole images.",
        ),
        url="https://arxiv.org/abs/2312.10461",
    )
    any_size = True

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """Half a ResNet-50 from scratch."""
        from fpbench_methods.nn.npr_resnet import NPRResNet

        return NPRResNet(classes)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """Adam in batches of 32."""
        from fpbench.compute.training_plan import TrainingPlan

        epochs = {"smoke": 2, "small": 15, "full": 50}[budget]
        return TrainingPlan(
            epochs=epochs, batch=32, optimiser="adam", lr=2e-4, schedule="cosine", patience=10
        )

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """The residual of 2×2 cells in grey levels, zero where an odd row or column is cut off."""
        import torch

        from fpbench_methods.nn.npr_resnet import neighbouring_residual

        found = np.zeros(images.pixels.shape, np.float32)
        x = torch.from_numpy(images.pixels.astype(np.float32)).permute(0, 3, 1, 2)
        cells = neighbouring_residual(x).permute(0, 2, 3, 1).numpy()
        found[:, : cells.shape[1], : cells.shape[2]] = cells
        return found
