"""Who made the method, its variants, and where the implementation departs from the paper."""

from __future__ import annotations

from fpbench.method import MethodCard, Variant
from fpbench_methods.yu.visnet import YuVisualisation

YU_CARD = MethodCard(
    name="yu",
    title="Attributing Fake Images to GANs: Learning and Analyzing GAN Fingerprints",
    authors="Yu, Davis, Fritz",
    year=2019,
    citation=(
        "@inproceedings{yu2019attributing,\n"
        "  title = {Attributing Fake Images to {GANs}: Learning and Analyzing {GAN}"
        " Fingerprints},\n"
        "  author = {Yu, Ning and Davis, Larry S. and Fritz, Mario},\n"
        "  booktitle = {IEEE/CVF International Conference on Computer Vision},\n"
        "  pages = {7555--7565},\n"
        "  year = {2019},\n"
        "  eprint = {1811.08180}\n"
        "}"
    ),
    licence="MIT",
    version="1",
    variants={
        "attribution": Variant("the attribution network; its 512 features are the fingerprint"),
        "predownscale": Variant(
            "ablation: only low frequencies, blurred and halved before the first convolution",
            {"network": "predownscale"},
        ),
        "postpool": Variant(
            "ablation: only local patches, averaged below the switching resolution",
            {"network": "postpool"},
        ),
        "visnet": Variant(
            "image fingerprint x − R(x), source fingerprints as learned correlation kernels",
            cls=YuVisualisation,
        ),
    },
    min_size=8,
    faithful=(
        "Trunk of two 3×3 convolutions a scale with reflected borders, LeakyReLU 0.2, average "
        "pooling, no normalisation layer; equalised learning rate with gain √2, 1 in the last "
        "layer; 512 penultimate features as the image fingerprint.",
        "Inputs in [−1, 1], random left-right flips as the only augmentation, Adam with β = "
        "(0, 0.99), batch 32, at budget full rate 1e-3 throughout.",
        "visnet: the fingerprint x − R(x) in pixels; logits are plain inner products with kernels "
        "learned jointly; 20·L1 + 0.1·adversarial + cross-entropy; WGAN-GP critic with λ = 10, "
        "drift 1e-3, minibatch deviation in groups of 4; running average 0.999.",
        "Budget full: the paper's widths (1024 / 2^scale, at most 512), 100 million images shown "
        "(25 million for visnet).",
    ),
    different=(
        "Any size from 8×8: scales are dropped or added so that the last is 4×4 (to 7×7); nothing "
        "is resized unless resize is set. The paper uses 128×128.",
        "Budgets smoke and small have widths of 64 and 128 (visnet 32 and 64) instead of 1024, and "
        "show the training images 3 and 50 times (visnet 2 and 14): far below 1 % of the paper's "
        "training. Their rate is 4e-3, in small falling along a cosine (visnet 0.01): a short "
        "training of a narrow network needs larger steps.",
        "The weights kept are those with the lowest validation cross-entropy; the paper trains to "
        "the end.",
        "Budgets smoke and small train on random 64×64 crops of larger images (at multiples of 8 "
        "pixels) and judge by the mean over a grid of 4×4 of them.",
        "visnet: the critic and the reconstruction step at once instead of in turn.",
        "Unstated defaults: the ablations switch at a quarter of the image side.",
    ),
    url="https://arxiv.org/abs/1811.08180",
)
