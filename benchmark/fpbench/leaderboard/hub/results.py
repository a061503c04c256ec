"""Results in the Hub's benchmark format: ``eval.yaml`` and ``.eval_results``.

A dataset repository with an ``eval.yaml`` is a benchmark; a model repository with a file under
``.eval_results`` shows its score on its page and on the benchmark's leaderboard. One number
stands for one task, and higher is better: here the balanced accuracy among generators.

The Hub takes only listed names as ``evaluation_framework`` (``EVALUATION_FRAMEWORKS`` in
``packages/tasks/src/eval.ts`` of huggingface.js), and `FRAMEWORK` is not among them yet; see
``docs/leaderboards.md``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.layout import folder_name
from fpbench.leaderboard.output.markdown import plain, safe_url
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE, Row, Section
from fpbench.leaderboard.view import columns as c

FRAMEWORK = "fpbench"
TASK = "attribution"
"""Task of the headline score; `fpbench data push` writes the same into a dataset's eval.yaml."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def parse_mapping(texts: Sequence[str], boards: Sequence[Board]) -> dict[str, str]:
    """Hub ids by dataset from ``DATASET=OWNER/NAME``; datasets named by a Hub id map to it.

    Raises:
        BadInput: If a text is not of that form or names no dataset with a board.
    """
    names = {board.name for board in boards}
    found = {name: name for name in names if _HUB_ID.fullmatch(name)}
    for text in texts:
        dataset, equals, repository = text.partition("=")
        if not equals or not _HUB_ID.fullmatch(repository):
            raise BadInput(f"--hub-dataset {text!r} is not of the form DATASET=OWNER/NAME.")
        if dataset not in names:
            raise BadInput(
                f"--hub-dataset {text!r}: there is no board of {dataset!r}; there are "
                f"{', '.join(sorted(names)) or 'none'}."
            )
        found[dataset] = repository
    return found


def evaluation_text(board: Board, hub_id: str) -> str:
    """``eval.yaml`` of a dataset: what makes its repository a benchmark."""
    generators = sum(source.family != "Real" for source in board.dataset.sources)
    document = {
        "name": plain(board.name),
        "description": (
            f"Attribute an image to one of {generators} generators; balanced accuracy, chance "
            f"{c.number(board.chance)}. Run: fpbench run --method NAME --dataset {hub_id}."
        ),
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": TASK, "config": "default", "split": "test"}],
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    return text


def results_text(board: Board, section: Section, row: Row, hub_id: str, records_url: str) -> str:
    """One file of ``.eval_results``: a row's headline score on a benchmark.

    Args:
        board: The row's board.
        section: Its section.
        row: The row, with a value.
        hub_id: Id of the dataset's repository.
        records_url: Web address of the leaderboards' folder, or empty.

    Raises:
        BadInput: If the installed Hub client does not know the format.
    """
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError as error:
        raise BadInput(
            "The installed huggingface-hub does not know the Hub's benchmark format; update it: "
            "pip install -U huggingface-hub."
        ) from error
    if row.value is None:
        raise BadInput(f"{row.label} has no accuracy on {board.name}, so nothing to report.")
    revision = board.dataset.revision
    notes = [f"variant {row.job.variant}", section.title.lower()]
    notes.append(f"{len(row.seeds)} seed{'' if len(row.seeds) == 1 else 's'}")
    if row.job.params:
        notes.insert(1, " ".join(f"{k}={v}" for k, v in sorted(row.job.params.items())))
    source = f"{records_url.rstrip('/')}/{row.entries[0].link}" if records_url else None
    entry = EvalResultEntry(
        dataset_id=hub_id,
        task_id=TASK,
        value=round(row.value, 6),
        dataset_revision=revision if _COMMIT.fullmatch(revision) else None,
        date=row.newest.created.date().isoformat(),
        source_url=source if source and safe_url(source) else None,
        source_name="fpbench record" if source and safe_url(source) else None,
        notes=plain(", ".join(notes)),
    )
    document: list[dict[str, Any]] = eval_result_entries_to_yaml([entry])
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    return text


def hub_files(
    boards: Sequence[Board], mapping: dict[str, str], records_url: str = ""
) -> dict[str, str]:
    """All files in the Hub's format by path within the site.

    ``hub/DATASET/eval.yaml`` belongs into the dataset's repository,
    ``hub/DATASET/METHOD/.eval_results/DATASET-VARIANT.yaml`` into the method's own.

    Smoke tests and folds are not reported; of each configuration the most telling section
    counts.
    """
    files: dict[str, str] = {}
    for board in boards:
        hub_id = mapping.get(board.name)
        if hub_id is None:
            continue
        files[f"hub/{board.folder}/eval.yaml"] = evaluation_text(board, hub_id)
        reported: set[str] = set()
        for section in board.sections:
            if section.budget == "smoke" or section.folds is not None:
                continue
            for row in section.rows:
                if row.value is None or HEADLINE not in row.scores or row.label in reported:
                    continue
                reported.add(row.label)
                name = folder_name(row.label.partition(":")[2] or row.job.variant)
                path = f"hub/{board.folder}/{folder_name(row.job.method)}/.eval_results"
                files[f"{path}/{board.folder}-{name}.yaml"] = results_text(
                    board, section, row, hub_id, records_url
                )
    return files
