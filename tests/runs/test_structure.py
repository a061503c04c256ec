"""The tree of a job's sources and what it follows, on planted groups."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_mutual_info_score

from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.runs.structure import (
    StructureDocument,
    attributes_of,
    describe_structure,
    read_structure,
    tree_of,
    write_structure,
)
from fpbench.scores.evidence import PROBABILITIES, Evidence, Labels

FAMILIES = ("GAN", "GAN", "GAN", "VAE", "VAE", "VAE", "Flow", "Flow", "Flow")
UPSAMPLING = ("a", "b", "c", "a", "b", "c", "a", "b", "c")


def planted(
    design: bool = True, generators: int = 9
) -> tuple[Evidence, Labels, NDArray[np.float32]]:
    """Sources whose fingerprints group by their loss, which their family explains wholly."""
    rng = np.random.default_rng(0)
    groups = {"GAN": 0, "VAE": 1, "Flow": 2}
    group = np.array([groups[family] for family in FAMILIES[:generators]])
    own = np.where(group[:, None] == group, 0.7, 0.1) + rng.normal(0, 0.02, (generators,) * 2)
    own = (own + own.T) / 2
    np.fill_diagonal(own, 1.0)
    labels = np.repeat(np.arange(generators + 1), 20)
    correlations = rng.normal(0, 0.02, (len(labels), generators))
    correlations[labels > 0] += own[labels[labels > 0] - 1] - 0.1
    proba = np.full((len(labels), generators + 1), 1 / (generators + 1), np.float32)
    sources = [Source("real", "Real", "photographs")]
    for k, family in enumerate(FAMILIES[:generators]):
        facts = {"loss": f"of {family}", "upsampling": UPSAMPLING[k]} if design else {}
        if k == 0:
            facts.pop("upsampling", None)
        sources.append(Source(f"s{k}", family, f"S{k}", facts))
    evidence = Evidence(
        {
            PROBABILITIES: proba,
            "correlations": correlations.astype(np.float32),
            "fingerprint_correlations": own.astype(np.float32),
            "dimension": np.asarray([64]),
        }
    )
    ids = np.arange(len(labels)).astype(str)
    who = Labels(ids, labels, tuple(sources), tuple(sources))
    # Images lie around the centre of their group, a little apart by source.
    centres = rng.normal(size=(4, 64))[np.append(3, group)] * 2
    centres += rng.normal(size=centres.shape) * 0.5
    rows = centres[labels] + rng.normal(size=(len(labels), 64)) * 0.3
    return evidence, who, rows.astype(np.float32)


@pytest.fixture(scope="module")
def document() -> StructureDocument:
    found = describe_structure(*planted(), seed=0)
    assert found is not None
    return found


def test_the_tree_is_that_of_scipy(document: StructureDocument) -> None:
    evidence, _, _ = planted()
    own = evidence.arrays["fingerprint_correlations"].astype(np.float64)
    flat = squareform(1 - own, checks=False)
    tree = linkage(flat, "average")
    np.testing.assert_allclose(np.sort(np.asarray(document.linkage)[:, 2]), np.sort(tree[:, 2]))
    assert document.cophenetic == pytest.approx(np.corrcoef(cophenet(tree), flat)[0, 1])
    cut = fcluster(tree, 3, criterion="maxclust")
    assert adjusted_mutual_info_score(cut, tree_of(document).cut(3)) == pytest.approx(1)
    in_order = [document.families[k] for k in document.order]
    assert sum(a != b for a, b in itertools.pairwise(in_order)) == 2


def test_clusters_follow_what_was_planted_and_not_what_was_not(
    document: StructureDocument,
) -> None:
    found = {entry.attribute: entry for entry in document.alignments}
    assert list(found) == ["family", "loss", "upsampling"]
    for name in ("family", "loss"):
        assert found[name].ami == pytest.approx(1) and found[name].ari == pytest.approx(1)
        # 9 sources into three groups of three: 280 ways, one of which is the planted one.
        assert found[name].p_value == pytest.approx(1 / 280, abs=0.003)
        assert found[name].p_within_family is None
        assert (found[name].p_holm or 0) >= (found[name].p_value or 0)
    other = found["upsampling"]
    assert other.sources == 8 and other.ami is not None and other.ami < 0.3
    assert (other.p_value or 0) > 0.1 and (other.p_within_family or 0) > 0.1
    # Nine sources have so few permutations that plain NMI is high by chance.
    assert (other.nmi_chance or 0) > 0.25


def test_the_bootstrap_keeps_planted_groups_together(document: StructureDocument) -> None:
    group = np.repeat([0, 1, 2], 3)
    expected = (group[:, None] == group).astype(float)
    np.testing.assert_allclose(np.asarray(document.coclustering), expected, atol=0.05)


def test_clusters_of_images_follow_their_source_and_what_was_planted(
    document: StructureDocument,
) -> None:
    found = {entry.attribute: entry for entry in document.image_clusters}
    assert list(found) == ["source", "family", "loss", "upsampling"]
    for name, clusters, images in (("source", 9, 180), ("family", 3, 180), ("loss", 3, 180)):
        assert found[name].clusters == clusters and found[name].images == images
        assert found[name].ami == pytest.approx(1), name
    # Sources, not images, are permuted for what sources share: 280 ways to group nine by three.
    assert found["source"].p_value == pytest.approx(1 / 1001)
    assert found["family"].p_value == pytest.approx(1 / 280, abs=0.005)
    other = found["upsampling"]
    assert other.images == 160 and other.ami is not None and other.ami < 0.3
    assert (other.p_holm or 0) >= (other.p_value or 0) > 0.1


def test_images_that_are_all_alike_have_no_clusters_but_a_reason() -> None:
    evidence, labels, rows = planted()
    found = describe_structure(evidence, labels, np.ones_like(rows), 0)
    assert found is not None
    assert {entry.reason for entry in found.image_clusters} == {"All embeddings are equal."}
    assert all(entry.ami is None for entry in found.image_clusters)


def test_without_design_choices_only_the_family_is_compared() -> None:
    found = describe_structure(*planted(design=False), seed=0)
    assert found is not None and [e.attribute for e in found.alignments] == ["family"]
    assert found.alignment_reason and "no design choice" in found.alignment_reason


def test_one_value_for_all_is_null_with_a_reason() -> None:
    evidence, labels, rows = planted()
    same = tuple(
        Source(s.name, s.family, s.architecture, {} if s.is_real else {"skip": "none"})
        for s in labels.tested
    )
    found = describe_structure(evidence, replace(labels, tested=same), rows, 0)
    assert found is not None
    entry = found.alignments[1]
    assert entry.attribute == "skip" and entry.ami is None and "the same" in (entry.reason or "")


def test_few_generators_and_constant_fingerprints_have_no_tree() -> None:
    assert describe_structure(*planted(generators=3), seed=0) is None
    evidence, labels, rows = planted()
    own = evidence.floats("fingerprint_correlations")
    own[0] = np.nan  # as evidence said it before reasons were stored
    assert describe_structure(evidence, labels, rows, 0) is None
    assert describe_structure(Evidence({PROBABILITIES: evidence.proba}), labels, rows, 0) is None


def test_real_has_no_part_in_the_attributes() -> None:
    _, labels, _ = planted()
    attributes = attributes_of([labels.tested[k] for k in labels.generators])
    assert attributes["upsampling"][0] is None
    assert all(len(values) == 9 for values in attributes.values())


def test_the_file_reads_back(tmp_path: Path, document: StructureDocument) -> None:
    entry = write_structure(tmp_path, document)
    text = (tmp_path / entry.file).read_text()
    assert StructureDocument.model_validate_json(text) == document
    assert json.loads(text)["schema_version"] == 2 and entry.size == len(text.encode())
    assert read_structure(tmp_path) == document and read_structure(tmp_path / "none") is None
    (tmp_path / entry.file).write_text(text.replace('"sources"', '"origins"', 1))
    with pytest.raises(BadInput, match=r"structure\.json is not a valid structure: sources: Field"):
        read_structure(tmp_path)
