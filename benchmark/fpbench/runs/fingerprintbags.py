"""Fingerprints of sources made from few or many bags of training images (DSF, appendix A.3).

The fingerprint of a source is the mean over B bags of N of its training images. Bags come from
one fitted method: of two numbers of bags, the smaller are among the larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpbench.errors import BadInput
from fpbench.method import Method
from fpbench.metrics.attribution import accuracy_score, auc_score
from fpbench.metrics.bags import draw_bags
from fpbench.metrics.decorrelation import (
    decorrelation_scores,
    item_correlations,
    source_fingerprints,
)
from fpbench.metrics.score import NotComputable, Score
from fpbench.runs.judge import check_embeddings
from fpbench.runs.record import ArtifactEntry
from fpbench.runs.splits import Splits
from fpbench.scores.evidence import Labels, Outcome

FINGERPRINT_BAGS = "fingerprint-bags.safetensors"
BAG_NUMBERS = (1, 5, 10, 25, 50, 100, 200, 300)
"""Bags of each source, as in the appendix of DSF."""

BAG_SIZE = 10
"""Images in a bag, unless said otherwise."""

DECORRELATION = {
    "decorrelation_margin": "margin",
    "decorrelation_self": "self",
    "decorrelation_cross": "cross",
    "decorrelation_dsf": "dsf_printed",
}
ACCURACY, AUC = "accuracy_by_fingerprint", "auc_by_fingerprint"
SCORES = (*DECORRELATION, ACCURACY, AUC)
"""Keys of `fingerprint_scores`, in this order."""


@dataclass(frozen=True)
class FingerprintBags:
    """Test images held against fingerprints of one number of bags.

    Attributes:
        number: Bags of each source.
        size: Images in a bag.
        images: Distinct training images in the bags of the source that has the fewest of them.
        correlations: float32 of shape (N, M): Pearson correlation of each test embedding with
            each generator's fingerprint, both centred; not a number where one is constant.
        labels: int64 of shape (N,), the generator of each.
        dimension: Dimension D of the embeddings.
    """

    number: int
    size: int
    images: int
    correlations: NDArray[np.float32]
    labels: NDArray[np.int64]
    dimension: int


def gather_fingerprint_bags(
    method: Method,
    outcome: Outcome,
    splits: Splits,
    labels: Labels,
    numbers: Sequence[int],
    size: int,
    seed: int,
) -> list[FingerprintBags]:
    """Correlate test images of generators with fingerprints of several numbers of bags.

    Bags hold no image twice; a source's images are dealt into bags until they are used up, then
    dealt anew. A method that embeds bags itself does; of any other the vector of a bag is the
    mean of its images'.

    Args:
        method: The fitted method.
        outcome: What it gave.
        splits: Image sets of the job.
        labels: Who made which test image.
        numbers: Bags of each source.
        size: Images in a bag.
        seed: Seed of the bags.

    Raises:
        BadInput: If a source has fewer training images than a bag holds.
        InvalidOutput: If the method's vectors of bags break its contract.
    """
    train, generators = splits.train, labels.generators
    most = max(numbers)
    own = np.flatnonzero(labels.made_by_generator(train.labels))
    try:
        drawn = draw_bags(train.labels[own], size, most, np.random.default_rng([seed, 2]))
    except NotComputable as reason:
        raise BadInput(f"Bags of {size} training images are not possible: {reason}") from reason
    members = own[drawn]
    embedded = outcome.train_embeddings
    if method.implements("embed_bags"):
        vectors = check_embeddings(
            "embed_bags", method.embed_bags(train.unlabelled(), list(members)), len(members)
        )
    else:
        vectors = np.stack([embedded[bag].mean(axis=0) for bag in members])
    rows, among = outcome.test_embeddings[labels.generated], labels.among_generators
    by_source = members.reshape(len(generators), most, size)
    of_source = vectors.reshape(len(generators), most, -1)
    found = []
    for number in numbers:
        correlations = np.full((len(rows), len(generators)), np.nan, np.float32)
        part = of_source[:, :number].reshape(-1, of_source.shape[-1])
        try:
            prints = source_fingerprints(part, np.repeat(np.arange(len(generators)), number))
            correlations = item_correlations(rows, prints).astype(np.float32)
        except NotComputable:
            # Not a number in the file becomes a null score with a reason.
            pass
        distinct = min(len(np.unique(bags[:number])) for bags in by_source)
        found.append(FingerprintBags(number, size, distinct, correlations, among, rows.shape[1]))
    return found


def write_fingerprint_bags(folder: Path, found: Sequence[FingerprintBags]) -> ArtifactEntry:
    """Write them into a job's folder."""
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[np.generic]] = {"labels": found[0].labels}
    for bags in found:
        arrays[f"correlations_{bags.number}"] = np.ascontiguousarray(bags.correlations)
        arrays[f"facts_{bags.number}"] = np.asarray(
            [bags.size, bags.images, bags.dimension], np.int64
        )
    path = folder / FINGERPRINT_BAGS
    save_file(arrays, path)
    return ArtifactEntry.of(path)


def read_fingerprint_bags(folder: Path, number: int) -> FingerprintBags:
    """Read those of one number of bags.

    Raises:
        BadInput: If the file is missing, cannot be read or does not hold that number.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / FINGERPRINT_BAGS
    try:
        arrays = load_file(path)
        size, images, dimension = arrays[f"facts_{number}"].tolist()
        correlations, labels = arrays[f"correlations_{number}"], arrays["labels"]
    except (OSError, KeyError, SafetensorError) as error:
        raise BadInput(f"{path} holds no fingerprints of {number} bags: {error}.") from error
    return FingerprintBags(number, size, images, correlations, labels, dimension)


def fingerprint_scores(found: FingerprintBags, seed: int) -> dict[str, Score]:
    """Decorrelation of the fingerprints, and attribution to the best correlated one.

    `ACCURACY` and `AUC` take the softmax of a test image's correlations for its probabilities:
    the fingerprints name the source, no classifier does.

    Args:
        found: Test images held against the fingerprints.
        seed: Seed of the bootstrap over test images; the fingerprints stay as they are.

    Returns:
        `SCORES` to scores.
    """
    labels, rows = found.labels, found.correlations.astype(np.float64)
    if not np.isfinite(rows).all():
        reason = "A source's fingerprint, or an image's, is constant: it correlates with nothing."
        return {key: Score.missing(reason, n=len(labels)) for key in SCORES}
    own = decorrelation_scores(rows, labels, rows.shape[1], found.dimension, seed=seed)
    powers = np.exp(rows)
    proba = powers / powers.sum(axis=1, keepdims=True)
    return {
        **{key: own[name] for key, name in DECORRELATION.items()},
        ACCURACY: accuracy_score(labels, proba, None, seed=seed),
        AUC: auc_score(labels, proba, None, seed=seed),
    }
