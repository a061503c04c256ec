"""Gives a finished job the figures that it was run without, from what lies beside its record."""

from __future__ import annotations

from fpbench import registry
from fpbench.errors import BadInput
from fpbench.files import writing_folder
from fpbench.runs.evidence import read_embeddings
from fpbench.runs.job import Job
from fpbench.runs.plugins import protocol_named
from fpbench.runs.protocols.base import Drawable
from fpbench.runs.record import Record
from fpbench.runs.rescoring import evidence_of
from fpbench.runs.store import FIGURES, Store

_EMBEDDINGS = "embeddings"


def draw_later(job: Job, record: Record, store: Store) -> list[str]:
    """Draw the figures of a finished job; nothing is fitted for them.

    Args:
        job: The job.
        record: Its record, of status ``done``.
        store: Where its folder lies.

    Returns:
        Which figures were drawn, and one sentence a figure that could not be.
    """
    try:
        drawable = _stored(job, record, store)
        with writing_folder(store.folder(job) / FIGURES) as folder:
            notes = protocol_named(job.protocol).draw(folder, drawable)
            drawn = sorted(path.stem for path in folder.glob("*.png"))
    except BadInput as error:
        return [f"its figures cannot be drawn from what is stored ({error}); --again draws them"]
    if drawn:
        notes.insert(0, f"drawn from what is stored: {', '.join(drawn)}")
    return notes


def _stored(job: Job, record: Record, store: Store) -> Drawable:
    folder = store.folder(job)
    evidence, labels = evidence_of(record, folder)
    embeddings = None
    if _EMBEDDINGS in record.artifacts:
        path = folder / record.artifacts[_EMBEDDINGS].file
        embeddings = read_embeddings(path, len(labels.labels))
    try:
        cls = registry.method_class(job.method).variant_class(job.variant)
        has_residual = cls.implements("residual")
    except BadInput:
        has_residual = False  # its other figures can be drawn without it
    return Drawable(job, labels, evidence, record.score_values, embeddings, has_residual)
