"""Who made the method, its variants, and where the implementation departs from the paper."""

from __future__ import annotations

from fpbench.method import MethodCard, Variant
from fpbench_methods.asnani.parser import AsnaniParsing

ASNANI_CARD = MethodCard(
    name="asnani",
    title="Reverse Engineering of Generative Models: Inferring Model Hyperparameters From "
    "Generated Images",
    authors="Asnani, Yin, Hassner, Liu",
    year=2023,
    citation=(
        "@article{asnani2023reverse,\n"
        "  title = {Reverse Engineering of Generative Models: Inferring Model Hyperparameters"
        " From Generated Images},\n"
        "  author = {Asnani, Vishal and Yin, Xi and Hassner, Tal and Liu, Xiaoming},\n"
        "  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},\n"
        "  volume = {45},\n"
        "  number = {12},\n"
        "  pages = {15477--15493},\n"
        "  year = {2023},\n"
        "  eprint = {2106.07873}\n"
        "}"
    ),
    licence="MIT",
    version="2",
    variants={
        "attribution": Variant("estimated fingerprint's spectrum, read by a small network"),
        "code": Variant(
            "the same with the released code's sigmoid, batch maximum and, above 128 pixels, "
            "fixed window",
            {"sigmoid": True, "batch_max": True, "fixed_window": True},
        ),
        "parsing": Variant(
            "predicts design choices; sources by the common probe on its features",
            cls=AsnaniParsing,
        ),
    },
    min_size=16,
    faithful=(
        "Fingerprint estimation network of 17 convolutions, 64 wide (budget full), whose output "
        "is the fingerprint: nothing is subtracted from the image.",
        "Four constraints on the luminance's unnormalised spectrum with the released weights: low "
        "frequencies 0.05, peak 0.001, magnitude 0.01 (parsing 0.1), symmetry 0.1 (parsing 1), "
        "task 10.",
        "Attribution reads the spectrum, not the fingerprint: two 5×5 convolutions, dropout 0.5, "
        "512 features. Parsing reads the fingerprint: five convolutions, 512 features, a branch "
        "for the architecture and one for the loss, class-weighted cross-entropy.",
        "Mean 0.6490 and deviation 0.1269 for all channels; Adam; at budget full rate 1e-4, batch "
        "16, a million images shown for attribution and 20 epochs for parsing.",
    ),
    different=(
        "The spectral peak is sought in each image, the low-frequency window is scaled with the "
        "image (25 of 128 a side) and no sigmoid precedes the cross-entropy; the variant code has "
        "the released code's way of all three.",
        "Images keep their size; the paper resizes to 128×128 (parsing: 64×64).",
        "The constraints are scaled to what they are at 128×128, so that an image and its tiling "
        "have the same; unscaled they would be 16 times weaker at 32×32. The variant code's window "
        "of 51×51 keeps its share of smaller images, whose whole spectrum it would cover.",
        "Budgets smoke and small have 5 and 9 convolutions, 8 and 16 wide, and 2 and 12 epochs at "
        "rate 1e-3; parsing 1 epoch at rate 1e-3 and, in small, the paper's 20 epochs at 1e-4.",
        "Budgets smoke and small train on random 64×64 crops of larger images (at multiples of 8 "
        "pixels) and judge by the mean over a grid of 4×4 of them.",
        "Parsing predicts the design choices that sources.yaml states, as classes; the paper's "
        "continuous architecture parameters are not stated there. Each branch has layers of its "
        "own, where the released code feeds all from the first.",
        "The paper's cluster prediction is not implemented.",
        "The weights kept are those with the lowest validation loss.",
    ),
    needs=("parsing: design choices in the dataset's sources.yaml",),
    url="https://arxiv.org/abs/2106.07873",
)
