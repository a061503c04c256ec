"""Who made the method, its variants, and where the implementation departs from the paper."""

from __future__ import annotations

from fpbench.method import MethodCard, Variant

DSF_CARD = MethodCard(
    name="dsf",
    title="Learning Robust Representations Of Generative Models Using Set-Based Artificial "
    "Fingerprints",
    authors="Song, AbdAlmageed",
    year=2022,
    citation=(
        "@misc{song2022dsf,\n"
        "  title = {Learning Robust Representations Of Generative Models Using Set-Based"
        " Artificial Fingerprints},\n"
        "  author = {Song, Hae Jin and AbdAlmageed, Wael},\n"
        "  year = {2022},\n"
        "  eprint = {2206.02067},\n"
        "  archivePrefix = {arXiv}\n"
        "}"
    ),
    licence="MIT",
    version="2",
    variants={
        "plus": Variant("DSF+: bags of images, mean pooling"),
        "minus": Variant(
            "DSF−: trained on bags of one image; bags are judged by their mean vector",
            {"bag_size": 1},
        ),
        "sum": Variant("DSF+ with sum pooling, as the paper's equation has it", {"pool": "sum"}),
    },
    unit="bag",
    min_size=16,
    faithful=(
        "A set encoder ρ(pool φ(x_n)) with mean pooling, as the text says; sum pooling, as the "
        "equation says, is the variant sum.",
        "Loss of equations 1 and 2 with the sum inside the logarithm, squared Euclidean "
        "distances, no normalisation, temperature 1.",
        "A classifier of three fully connected layers on frozen vectors (the common probe).",
        "DSF−: the same with bags of one, and as many images of each source in a batch.",
    ),
    different=(
        "The paper states no network, optimiser, batch or length: φ is four strided convolutions "
        "of 64-128-256-256 channels with batch normalisation and a global average, ρ is "
        "256-256-128, Adam with weight decay 1e-4 and a cosine; at budget full rate 3e-4, 20,000 "
        "steps, bags of 32.",
        "Budgets smoke and small train 20 and 300 steps with bags of 4 and 8 at rate 1e-3; smoke "
        "has 16-32-64-128 channels.",
        "The classifier is trained on single images and on bags of the training size together, so "
        "that one classifier judges both.",
        "A bag size that is not set shrinks to the smallest source; one that is set declines.",
        "Images above 128 pixels (budgets smoke and small: 64) are trained on random crops of that "
        "side and judged whole; nothing is resized.",
    ),
    url="https://arxiv.org/abs/2206.02067",
)
