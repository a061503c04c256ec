"""Coverage of attribution on test images: the table of docs/attribution.md.

    python docs/figures/coverage.py WORK [--only NAME] [--write]

Fits every configuration below on gm-mini and gm-cifar10 with seed 0, once on all sources and once
without the first group of the open-set rotation of seed 0, and keeps what each said of calibration
and test images in WORK, so that it can be stopped and go on. With --write, what is there becomes
coverage.json and the table of the page. The real images of gm-cifar10 are needed (see its card).
"""

import argparse
import json
from pathlib import Path

import numpy as np

from fpbench.attribution.coverage import Answers, ask, coverage
from fpbench.datasets.resolve import resolve
from fpbench.metrics.conformal import pooled
from fpbench.runs.protocols.open_set import deal

ALPHA = 0.1
HERE = Path(__file__).parent
CONFIGURATIONS = (
    ("pixels", "small"),
    ("prnu", "small"),
    ("mccloskey", "small"),
    ("dzanic", "small"),
    ("durall", "small"),
    ("plain", "small"),
    ("logdct", "small"),
    ("frank:logistic", "small"),
    ("frank:cnn", "small"),
    ("frank:cnn", "smoke"),
    ("npr", "smoke"),
)
DATASETS = ("gm-mini", "gm-cifar10")


def place(work: Path, dataset: str, method: str, budget: str, held_out: bool) -> Path:
    """Where the answers of one fit lie."""
    name = f"{dataset}-{method.replace(':', '-')}-{budget}{'-unknown' if held_out else ''}"
    return work / f"{name}.npz"


def read(path: Path) -> Answers:
    """Answers that were kept."""
    with np.load(path) as arrays:
        return Answers(
            tuple(arrays["sources"].tolist()),
            arrays["calibration"],
            arrays["calibration_labels"].astype(np.int64),
            arrays["test"],
            arrays["test_sources"],
        )


def compute(work: Path, only: str | None) -> None:
    """Fit whatever has not been fitted yet."""
    work.mkdir(parents=True, exist_ok=True)
    for name in DATASETS:
        if only not in (None, name):
            continue
        dataset = resolve(name).load()
        unknown = deal(dataset.sources, 0)[0]
        for method, budget in CONFIGURATIONS:
            for held_out in (False, True):
                path = place(work, name, method, budget, held_out)
                if path.is_file():
                    continue
                given = ask(method, dataset, unknown=unknown if held_out else (), budget=budget)
                np.savez_compressed(
                    path,
                    sources=np.array(given.sources),
                    calibration=given.calibration,
                    calibration_labels=given.calibration_labels.astype(np.int8),
                    test=given.test,
                    test_sources=given.test_sources,
                )
                print(path.name, flush=True)  # noqa: T201


def row(given: Answers, without: Answers | None) -> dict[str, object]:
    """What the table says of one configuration."""
    found = coverage(given, ALPHA)
    all_ = pooled([one.counts for one in found])
    shares = [one.share for one in found]
    least = found[int(np.argmin(shares))]
    outside = [one.source for one in found if one.share < one.low]
    below = [one.source for one in found if one.binomial()[1] < 1 - ALPHA]
    content = {
        "calibration": least.calibration,
        "coverage": all_.covered / all_.images,
        "least": least.share,
        "least_source": least.source,
        "interval": [least.low, least.high],
        "sources": len(found),
        "below_interval": outside,
        "below_binomial": below,
        "single": all_.single / all_.images,
        "right": all_.right / max(1, all_.single),
        "empty": all_.empty / all_.images,
    }
    if without is not None:
        strange = [one for one in coverage(without, ALPHA) if not one.known]
        counts = pooled([one.counts for one in strange])
        content |= {
            "unknown": [one.source for one in strange],
            "unknown_none": counts.empty / counts.images,
            "unknown_undecided": 1 - (counts.empty + counts.single) / counts.images,
            "unknown_attributed": counts.single / counts.images,
        }
    return content


def table(rows: dict[str, dict[str, dict[str, object]]]) -> str:
    """The rows as Markdown, a table a dataset."""
    lines = []
    for dataset, methods in rows.items():
        first = next(iter(methods.values()))
        low, high = first["interval"]  # type: ignore[misc]
        lines += [
            f"**{dataset}**: {first['sources']} sources, {first['calibration']} calibration images "
            f"each; by chance the coverage of one source lies between {low:.3f} and {high:.3f} in "
            f"95 of 100 cases. Left out for the last three columns: "
            f"{', '.join(first.get('unknown', ()))}.",  # type: ignore[arg-type]
            "",
            "| method | coverage, all | least of a source | below interval | below binomial | one "
            "source named | of these right | none | unknown: none | undecided | named wrongly |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for method, one in methods.items():
            unknown = [one.get(f"unknown_{k}") for k in ("none", "undecided", "attributed")]
            cells = [
                f"`{method}`",
                f"{one['coverage']:.3f}",
                f"{one['least']:.3f} ({one['least_source']})",
                f"{len(one['below_interval'])} of {one['sources']}",  # type: ignore[arg-type]
                f"{len(one['below_binomial'])}",  # type: ignore[arg-type]
                *(f"{one[key]:.3f}" for key in ("single", "right", "empty")),
                *("–" if value is None else f"{value:.3f}" for value in unknown),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def write(work: Path) -> None:
    """Write coverage.json and the page's table."""
    rows: dict[str, dict[str, dict[str, object]]] = {}
    for name in DATASETS:
        for method, budget in CONFIGURATIONS:
            path = place(work, name, method, budget, False)
            if not path.is_file():
                continue
            other = place(work, name, method, budget, True)
            label = method if budget == "small" else f"{method}, {budget}"
            rows.setdefault(name, {})[label] = row(
                read(path), read(other) if other.is_file() else None
            )
    (HERE / "coverage.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    page = HERE.parent / "attribution.md"
    text = page.read_text(encoding="utf-8")
    begin, end = "<!-- coverage: begin -->", "<!-- coverage: end -->"
    head, rest = text.split(begin)
    page.write_text(f"{head}{begin}\n{table(rows)}{end}{rest.split(end)[1]}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", choices=DATASETS)
    parser.add_argument("--write", action="store_true", help="Make the table of what is there.")
    asked = parser.parse_args()
    if asked.write:
        write(asked.work)
    else:
        compute(asked.work, asked.only)
