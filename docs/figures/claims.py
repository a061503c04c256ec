"""Prints, for each sentence of docs/findings.md that compares, the test behind it.

Run it from the root of a checkout: ``python docs/figures/claims.py``. ``claims.yaml`` beside it
names the words of each claim and what they rest on: two rows of a board, whose difference is given
with its standard error (images and seeds), p-value and p-value after Holm's correction over all
pairs of the board, or a part of what this script or another one prints. It ends with 1 if words are
no longer in the text, a verdict does not follow from the test, a sentence about a row with one run
does not say so, or a sentence that compares has no line.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.published import Published
from fpbench.leaderboard.output.build import read_leaderboards
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.judged import read_confusion, read_probabilities
from fpbench.leaderboard.ranking.rows import Row, Section
from fpbench.leaderboard.view.transfers import TransferTable, transfer_tables
from fpbench.metrics.calibration import calibration
from fpbench.metrics.comparison import compare_rows
from fpbench.metrics.families import family_errors
from fpbench.metrics.orderings import order_agreement
from fpbench.metrics.ranking import ALPHA
from fpbench.metrics.score import NotComputable

HERE = Path(__file__).parent
BUDGET = "small"
COMPARES = re.compile(
    r"\b(than|better|best|worse|worst|highest|lowest|above|below|beats?|behind|told apart|more|"
    r"less|fewer|falls?|moves?|differences?|longer|weaker|stronger)\b"
)
"""Words that make a sentence one that compares."""

VERDICTS = {
    "more": "the first is more accurate, after Holm's correction",
    "open": "the two are not told apart, after Holm's correction",
}

COUNTERPARTS = {
    "manifpt-2": {
        "McClo18": "mccloskey:saturation",
        "Nataraj19": "nataraj:horizontal",
        "Durall20": "durall:svm",
        "Dzanic20": "dzanic:decay",
        "Marra19": "prnu:wavelet",
        "Yu19": "yu:attribution",
        "ManiFPT RGB": "manifpt:rgb",
        "ManiFPT FREQ": "manifpt:freq",
    },
    "dsf-3": {
        "PRNU": "prnu:wavelet",
        "Yu19": "yu:attribution",
        "Asnani21": "asnani:attribution",
        "DSF−": "dsf:minus",
        "DSF+": "dsf:plus",
    },
}
"""Rows of published tables and the rows here that are meant to be the same method."""

ANCHORS = ("mccloskey", "manifpt")
"""Last and first of ManiFPT's table, far from the rest."""

SCORES = {
    "manifpt-2": ("accuracy",),
    "dsf-3": ("accuracy", "accuracy_bag10"),
}
"""What is held against a published table; DSF's is printed for methods that judge bags."""


@dataclass(frozen=True)
class Claim:
    """A sentence that compares, and what it rests on.

    Attributes:
        words: Words of the sentence, as they stand in the text.
        board: Its name, or "".
        pair: Two rows, or none.
        verdict: A key of `VERDICTS`, or "" where the sentence gives the figures alone.
        folds: Folds of the section, or None.
        shown_by: Where its figures come from if no two rows are compared.
    """

    words: str
    board: str = ""
    pair: tuple[str, ...] = ()
    verdict: str = ""
    folds: int | None = None
    shown_by: str = ""


def read_claims(path: Path) -> list[Claim]:
    """The claims of a YAML file."""
    found = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        content: dict[str, Any] = dict(entry)
        content["pair"] = tuple(content.get("pair", ()))
        found.append(Claim(**content))
    return found


def sentences(text: str) -> Iterator[str]:
    """Sentences of a Markdown text without headings, tables, pictures and code."""
    text = re.sub(r"(?s)```.*?```", "", text)
    kept = [line for line in text.splitlines() if not re.match(r"\s*(#|\||!\[)", line)]
    for paragraph in re.split(r"\n\s*\n|\n- ", "\n".join(kept)):
        yield from re.split(r"(?<=[.:?])(?<!e\.g\.)\s+(?=[A-Z`*(])", " ".join(paragraph.split()))


def section_of(board: Board, folds: int | None) -> Section | None:
    """The rows of budget small of a board."""
    found = [s for s in board.sections if s.budget == BUDGET and s.folds == folds]
    return found[0] if found else None


def tell(claim: Claim, boards: Mapping[str, Board], sentence: str) -> list[str]:
    """Print the test behind a claim; what is wrong with it is returned."""
    click.echo(f"“{claim.words}”")
    if claim.shown_by:
        click.echo(f"    {claim.shown_by}")
    if not claim.pair:
        return []
    section = section_of(boards[claim.board], claim.folds) if claim.board in boards else None
    if section is None or section.pairs is None:
        return [f"there is no board {claim.board!r} with these folds"]
    place = {section.rows[row].label: k for k, row in enumerate(section.paired)}
    missing = [label for label in claim.pair if label not in place]
    if missing:
        return [f"{claim.board} has no row {', '.join(missing)}"]
    a, b = (place[label] for label in claim.pair)
    pairs, (first, second) = section.pairs, claim.pair
    gap, p = pairs.difference[a, b], pairs.corrected[a, b]
    runs = [len(section.rows[section.paired[k]].entries) for k in (a, b)]
    click.echo(
        f"    {claim.board}{'' if claim.folds is None else f', {claim.folds} folds'}: {first} − "
        f"{second} = {gap:+.3f} ± {pairs.halfwidth[a, b]:.3f}, se {pairs.error[a, b]:.4f} "
        f"({runs[0]} and {runs[1]} runs), p {pairs.p_value[a, b]:.2g}, after Holm over "
        f"{pairs.pairs} pairs {p:.2g}{', of this run' if pairs.one_run[a, b] else ''}"
    )
    wrong = []
    follows = {"": True, "more": gap > 0 and p <= ALPHA, "open": p > ALPHA}
    if not follows[claim.verdict]:
        wrong.append(f"it does not follow that {VERDICTS[claim.verdict]}")
    if pairs.one_run[a, b] and not re.search(r"\bruns?\b", sentence):
        wrong.append("one of the two has one run, and the sentence does not say so")
    return wrong


def tell_claims(claims: Sequence[Claim], boards: Mapping[str, Board], text: str) -> list[str]:
    """Print the tests of all claims; what is wrong with the text is returned."""
    said = list(sentences(text))
    problems = []
    for claim in claims:
        holding = next((s for s in said if " ".join(claim.words.split()) in s), None)
        if holding is None:
            problems.append(f"“{claim.words}” is not in the text")
        for wrong in tell(claim, boards, holding or ""):
            problems.append(f"“{claim.words}”: {wrong}")
    return problems


def without_line(claims: Sequence[Claim], text: str) -> list[str]:
    """Sentences that compare and hold the words of no claim."""
    words = [" ".join(claim.words.split()) for claim in claims]
    return [
        sentence
        for sentence in sentences(text)
        if COMPARES.search(sentence) and not any(fragment in sentence for fragment in words)
    ]


def tell_seeds(board: Board) -> None:
    """How many pairs of rows with three seeds images tell apart, and images and seeds."""
    section = section_of(board, None)
    rows = [
        row.judged
        for row in (() if section is None else section.rows)
        if row.judged is not None and row.judged.summary.runs >= 3
    ]
    if len(rows) < 2:
        return
    known = [row.summary for row in rows]
    alone = [replace(summary, between=0.0, noise=0.0) for summary in known]
    upper = np.triu_indices(len(rows), 1)
    apart = [
        int((compare_rows(summaries, rows[0].labels).corrected[upper] <= ALPHA).sum())
        for summaries in (alone, known)
    ]
    click.echo(
        f"{board.name}: of {len(upper[0])} pairs of rows with three seeds or more, images alone "
        f"tell {apart[0]} apart, images and seeds {apart[1]}"
    )


def tell_orderings(boards: Sequence[Board], published: Published) -> None:
    """Agreement of the printed orders with those measured, and what it hangs on."""
    click.echo("\nOrders, Spearman [95 %, bootstrap over methods], p by permutation")
    for table in published.tables:
        pairs = COUNTERPARTS.get(table.id, {})
        for column in table.columns:
            printed = {
                pairs[row.method]: float(value[0] if isinstance(value, list) else value)
                for row in table.rows
                if row.method in pairs and not isinstance(value := row.values[column.key], str)
            }
            if not column.key.startswith("acc") or not printed:
                continue
            for board in boards:
                # gm-mini is no paper's dataset: it is held against every column.
                if board.name not in ("gm-mini", column.compares_with or "gm-cifar10"):
                    continue
                for score in SCORES[table.id]:
                    for folds in (None, 10):
                        _tell_order(f"{table.id} {column.dataset}", printed, board, score, folds)


def _tell_order(
    what: str, printed: Mapping[str, float], board: Board, score: str, folds: int | None
) -> None:
    section = section_of(board, folds)
    measured = {} if section is None else _values(section.rows, score)
    try:
        found = order_agreement(printed, measured)
    except NotComputable:
        return
    one = sorted(found.without_one.items(), key=lambda item: item[1])
    (pair, least) = min(found.without_two.items(), key=lambda item: item[1])
    shared = [name for name in printed if name in measured]
    click.echo(
        f"{what} and {board.name}{'' if folds is None else f', {folds} folds'}, {score}: "
        f"{found.rho:.2f} [{found.low:.2f}, {found.high:.2f}], p {found.p_value:.3f}, "
        f"{len(shared)} methods; without one {one[0][1]:.2f} ({one[0][0]}) to {one[-1][1]:.2f} "
        f"({one[-1][0]}); least without two {least:.2f} ({' and '.join(pair)}); here, best first: "
        f"{', '.join(sorted(shared, key=lambda name: -measured[name]))}"
    )
    rest = {x: printed[x] for x in shared if x.partition(":")[0] not in ANCHORS}
    if 4 <= len(rest) < len(shared):
        left = order_agreement(rest, measured)
        click.echo(
            f"    without {' and '.join(ANCHORS)}: {left.rho:.2f} [{left.low:.2f}, "
            f"{left.high:.2f}], p {left.p_value:.2f}, {len(rest)} methods"
        )


def _values(rows: Sequence[Row], score: str) -> dict[str, float]:
    found = {}
    for row in rows:
        entry = row.scores.get(score)
        if entry is not None and entry.value is not None:
            found[row.label] = entry.value
    return found


def tell_transfers(tables: Sequence[TransferTable]) -> None:
    """Transfer with models as the sample."""
    click.echo("\nTransfer, by model: mean [95 %, over models], p by renaming the models, Holm")
    for table in tables:
        for row in table.rows:
            if (own := row.classes) is not None:
                click.echo(
                    f"{table.title}: {row.label} {own.mean:.3f} [{own.low:.3f}, {own.high:.3f}], "
                    f"chance {own.chance:.3f}, p {own.p_value:.3f}, {row.corrected:.3f}"
                )


def tell_errors(board: Board) -> None:
    """Errors within families, and calibration, of every row of a board."""
    click.echo(
        f"\n{board.name}: errors within the family, of all among generators (chance; p by "
        "permuting families over sources; errors); calibration error (excess of confidence; "
        "level of true probabilities)"
    )
    section = section_of(board, None)
    sources = board.dataset.sources
    kept = np.array([k for k, source in enumerate(sources) if not source.is_real])
    images = np.array([source.test or 0 for source in sources])
    for row in () if section is None else section.rows:
        shares = read_confusion(row.entries)
        if shares is None:
            continue
        counts = (shares * images[:, None])[np.ix_(kept, kept)]
        try:
            errors = family_errors(counts, [sources[k].family for k in kept])
            told = (
                f"{errors.share:.2f} ({errors.chance:.2f}; p {errors.p_value:.3f}; "
                f"{errors.errors:.0f})"
            )
        except NotComputable as reason:
            told = str(reason)
        found = [calibration(*read_probabilities(entry)) for entry in row.entries]
        error, excess, level = (
            np.mean([getattr(run, name) for run in found]) for name in ("error", "excess", "level")
        )
        click.echo(
            f"{row.label:24s} accuracy {row.value or 0:.3f}; {told}; {error:.3f} ({excess:+.3f}; "
            f"{level:.3f}), {len(found)} run{'s' * (len(found) > 1)}"
        )


def main() -> int:
    """Print every claim's test; 1 if the text says what does not follow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("leaderboards"))
    parser.add_argument("--text", type=Path, default=HERE.parent / "findings.md")
    chosen = parser.parse_args()
    try:
        leaderboards = read_leaderboards(chosen.root)
    except BadInput as error:
        click.echo(str(error), err=True)
        return 2
    boards = {board.name: board for board in leaderboards.boards}
    text = chosen.text.read_text(encoding="utf-8")
    claims = read_claims(HERE / "claims.yaml")
    problems = tell_claims(claims, boards, text)
    tell_orderings(leaderboards.boards, leaderboards.published)
    tell_transfers(transfer_tables(leaderboards.collection.transfers))
    for name in ("gm-mini", "gm-cifar10"):
        if name in boards:
            tell_seeds(boards[name])
            tell_errors(boards[name])
    problems += [f"no line in claims.yaml: {said}" for said in without_line(claims, text)]
    for problem in problems:
        click.echo(problem, err=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
