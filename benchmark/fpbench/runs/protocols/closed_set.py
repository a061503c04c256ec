"""``closed-set``: every source tested was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fpbench.runs.evidence import write_embeddings
from fpbench.runs.figures import draw_figures
from fpbench.runs.fingerprintbags import BAG_SIZE, gather_fingerprint_bags, write_fingerprint_bags
from fpbench.runs.job import CLOSED_SET, Job, Limits
from fpbench.runs.protocols.base import (
    Drawable,
    Finished,
    Load,
    Prepared,
    Protocol,
    describe_dataset,
)
from fpbench.runs.record import ArtifactEntry
from fpbench.runs.splits import limit_splits, splits_of_job
from fpbench.runs.structure import describe_structure, read_structure, write_structure
from fpbench.scores.catalogue import SAME_SOURCES
from fpbench.scores.evidence import ScoringSettings


class ClosedSet(Protocol):
    """Who among the sources trained on made an image, and how fingerprints of sources differ."""

    name = CLOSED_SET
    families = SAME_SOURCES
    limits = frozenset(Limits.__dataclass_fields__) - {"augment"}

    def prepare(self, job: Job, load: Load) -> Prepared:
        """The dataset's own splits or those of one fold, less what the job's limits take away."""
        dataset = load(job.test)
        splits = limit_splits(
            splits_of_job(dataset, job),
            job.limits.train_images,
            job.limits.reference_images,
            job.seed,
        )
        counts = np.bincount(splits.test.labels, minlength=len(dataset.sources))
        # With folds, n is what the smallest source leaves in a test fold.
        samples = min(dataset.fdr_samples, int(counts.min()))
        return Prepared(
            splits,
            ScoringSettings(job.seed, samples, max(1, min(dataset.fdr_dimensions, samples // 8))),
            None,
            describe_dataset(dataset, splits),
        )

    def write_beside(self, folder: Path, finished: Finished) -> dict[str, ArtifactEntry]:
        """Embeddings with fingerprints, fingerprints of few bags if asked, and structure."""
        job, splits, outcome = finished.job, finished.prepared.splits, finished.outcome
        fingerprints = np.stack(
            [
                outcome.train_embeddings[splits.train.labels == k].mean(axis=0)
                for k in range(len(splits.train.sources))
            ]
        )
        written = {"embeddings": write_embeddings(folder, outcome.test_embeddings, fingerprints)}
        if job.limits.fingerprint_bags:
            written["fingerprint_bags"] = write_fingerprint_bags(
                folder,
                gather_fingerprint_bags(
                    finished.method,
                    outcome,
                    splits,
                    finished.prepared.labels,
                    job.limits.fingerprint_bags,
                    job.limits.fingerprint_bag_size or BAG_SIZE,
                    job.seed,
                ),
            )
        structure = describe_structure(
            finished.evidence, finished.prepared.labels, outcome.test_embeddings, job.seed
        )
        if structure is not None:
            written["structure"] = write_structure(folder, structure)
        return written

    def draw(self, folder: Path, drawable: Drawable) -> list[str]:
        """Confusion matrix, t-SNE, correlations and tree of fingerprints, and residuals."""
        return draw_figures(folder, drawable, read_structure(folder.parent))
