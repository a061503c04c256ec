"""What the plugin of Riemannian fingerprints says of itself."""

from __future__ import annotations

from fpbench.method import MethodCard, Variant

RIEMANN_CARD = MethodCard(
    name="riemann",
    title="Riemannian-Geometric Fingerprints of Generative Models (unofficial)",
    authors="Song, Itti",
    year=2025,
    citation=(
        "@inproceedings{song2025riemannian,\n"
        "  title = {{Riemannian}-Geometric Fingerprints of Generative Models},\n"
        "  author = {Song, Hae Jin and Itti, Laurent},\n"
        "  booktitle = {International Conference on Computer Vision},\n"
        "  pages = {11425--11435},\n"
        "  year = {2025},\n"
        "  eprint = {2506.22802}\n"
        "}"
    ),
    licence="MIT",
    version="1",
    variants={
        "geodesic": Variant("deviation from a geodesic centre of mass of real neighbours"),
    },
    min_size=8,
    faithful=(
        "A Riemannian metric learned from real images alone: the pull-back metric of a variational "
        "autoencoder's stochastic decoder, J_μᵀJ_μ + J_σᵀJ_σ.",
        "Geodesic instead of Euclidean distance; instead of one neighbour, the Riemannian centre "
        "of mass of k nearest real images, found by gradient descent; the artifact is the "
        "deviation from that projection.",
        "A ResNet attributes artifacts.",
    ),
    different=(
        "Unofficial: no code was released, and the paper's public text states no hyper-parameter. "
        "Architecture, latent dimensions, k, the solver of geodesics, step sizes, the space of the "
        "artifact and the training of the classifier are all fpbench's choices; a score here is "
        "no score of the authors' method.",
        "The artifact lives in pixels: x − μ(m), with m the centre of mass and μ the decoder's "
        "mean. It holds what the autoencoder blurs; the baseline resnet20 shows how much that "
        "alone attributes (vae-residual), what a fixed blur does (highpass), and the attributor "
        "alone (image).",
        "σ(z) is a radial basis network (Arvanitidis, Hansen, Hauberg, ICLR 2018), one value per "
        "channel and block of a 4×4 grid. The decoder's last layer is linear, so that distances "
        "between its images follow exactly from its last hidden units.",
        "An image among the reference images is never its own neighbour; the real images that are "
        "attributed are disjoint from the reference anyway.",
        "The attributor and its training are those of manifpt:rgb.",
        "Budgets smoke and small learn manifold and attributor on 64×64 crops of larger images, "
        "four of each, and judge by the mean over a grid of 2×2.",
        "Budgets smoke and small rank 10 and 20 candidates instead of 100, with geodesics of 4 "
        "and 6 pieces instead of 15 and 3 and 5 steps instead of 50.",
    ),
    url="https://arxiv.org/abs/2506.22802",
)
