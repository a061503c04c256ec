"""A metric that is added needs its module and one word in the catalogue, and nothing else."""

import subprocess
import sys
from pathlib import Path

ADDED = '''
"""Mean length of test embeddings: a family made up for a test."""

import numpy as np

from fpbench.metrics.score import Score
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.family import Gathered, ScoreFamily

LENGTHS = Table("lengths", "Lengths", "How long embeddings are.")
LENGTH = ScoreDefinition(
    "length", "mean length", "length", "Mean length.", LENGTHS, upper=9.0, better="neither",
    in_terminal=True,
)


class Lengths(ScoreFamily):
    name = "lengths"
    scores = (LENGTH,)

    def gather(self, outcome, labels, settings):
        lengths = np.linalg.norm(outcome.test_embeddings, axis=1).astype(np.float32)
        if not lengths.all():
            return Gathered(reasons={"length": "An embedding is zero."})
        return Gathered({"lengths": lengths})

    def score(self, evidence, labels, settings):
        if "length" in evidence.reasons:
            return {"length": Score.missing(evidence.reasons["length"])}
        values = evidence.floats("lengths")[labels.generated]
        return {"length": Score(float(values.mean()), n=len(values))}
'''

SCRIPT = """
import importlib.util, sys
from dataclasses import replace
from pathlib import Path
import numpy as np

folder, conftest = Path(sys.argv[1]), sys.argv[2]

def run(name, path, text):
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path))
    sys.modules[name] = module
    exec(compile(text, path, "exec"), module.__dict__)
    return module

run("fpbench.scores.lengths", "lengths.py", (folder / "lengths.py").read_text())
path = importlib.util.find_spec("fpbench.scores.catalogue").origin
word = "    Neighbourhood(),\\n"
text = Path(path).read_text().replace(word, word + "    Lengths(),\\n")
text = text.replace("from fpbench.scores.family", "from fpbench.scores.lengths import Lengths\\n"
                    "from fpbench.scores.family")
run("fpbench.scores.catalogue", path, text)

from fpbench.leaderboard.view.columns import GROUPS
from fpbench.leaderboard.ranking.rows import bounds
from fpbench.runs.ablation import check_scores
from fpbench.runs.evidence import read_evidence, write_evidence
from fpbench.runs.plugins import protocol_named
from fpbench.scores.family import chosen_families, compute_scores, gather_evidence

closed = protocol_named("closed-set")
assert [s.title for s in closed.definitions if s.in_terminal][-1] == "mean length"
group = GROUPS[-1]
assert (group.title, group.note) == ("Lengths", "How long embeddings are.")
assert [(c.key, c.title, c.better) for c in group.columns] == [("length", "length", "neither")]
assert bounds("length") == (0.0, 9.0)
check_scores("k", ("length",))
(chosen,) = chosen_families(closed.families, ["length"])
assert chosen.name == "lengths"

planted = run("planted", conftest, Path(conftest).read_text()).planted
outcome, labels, settings = planted()
for rows, expected in (
    (outcome.test_embeddings, np.linalg.norm(outcome.test_embeddings[labels.labels > 0], axis=1)),
    (np.zeros_like(outcome.test_embeddings), None),
):
    given = replace(outcome, test_embeddings=rows)
    evidence = gather_evidence([chosen], given, labels, settings)
    write_evidence(folder, evidence, labels)
    stored, found = read_evidence(folder, labels.tested, labels.columns, len(labels.labels))
    score = compute_scores([chosen], stored, found, settings)["length"]
    if expected is None:
        assert (score.value, score.reason) == (None, "An embedding is zero.")
    else:
        assert abs(score.value - expected.mean()) < 1e-6 and score.n == 96
"""


def test_a_module_and_a_word_put_a_score_everywhere(tmp_path: Path) -> None:
    (tmp_path / "lengths.py").write_text(ADDED, "utf-8")
    conftest = Path(__file__).with_name("conftest.py")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(conftest)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
