import numpy as np
import pytest

from fpbench.metrics import transfer

COLUMNS = [
    ("Real", "Real"),
    ("DCGAN", "GAN"),
    ("WGAN", "GAN"),
    ("NVAE", "VAE"),
    ("GLOW", "Flow"),
]
TESTED = [
    ("real", "Real", "Real", 60),
    ("dcgan-b", "DCGAN", "GAN", 50),
    ("wgan-b", "WGAN", "GAN", 30),
    ("pggan", "PGGAN", "GAN", 40),
    ("nvae-b", "NVAE", "VAE", 20),
    ("vae", "VAE", "VAE", 30),
    ("ddpm", "DDPM", "Score", 40),
]


def task(seed=0, columns=COLUMNS, tested=TESTED, strength=1.0):
    """Evidence for the image's architecture, and half as much for its family."""
    rng = np.random.default_rng(seed)
    rows = [t[:3] for t in tested for _ in range(t[3])]
    sources, architectures, families = map(np.array, zip(*rows, strict=True))
    logits = rng.normal(size=(len(rows), len(columns)))
    for k, (architecture, family) in enumerate(columns):
        logits[:, k] += strength * (architectures == architecture)
        logits[:, k] += strength / 2 * (families == family)
    proba = np.exp(logits)
    proba /= proba.sum(axis=1, keepdims=True)
    return transfer.TransferTask(
        proba,
        [c[0] for c in columns],
        [c[1] for c in columns],
        sources,
        architectures,
        families,
    )


def macro(predicted, truth):
    return np.mean([(predicted[truth == c] == c).mean() for c in np.unique(truth)])


@pytest.mark.parametrize("with_real", [True, False])
def test_shared_architectures_by_hand(with_real):
    t = task()
    shared = ["DCGAN", "NVAE", "WGAN"] + ["Real"] * with_real
    rows = np.isin(t.image_architectures, shared)
    names = np.array(t.column_architectures)
    for masked in (True, False):
        allowed = shared if masked else [n for n in names if with_real or n != "Real"]
        columns = np.isin(names, allowed)
        predicted = names[columns][t.proba[rows][:, columns].argmax(axis=1)]
        got = transfer.shared_score(t, masked=masked, with_real=with_real)
        assert got.value == pytest.approx(macro(predicted, t.image_architectures[rows]))
        assert got.chance == pytest.approx(1 / len(allowed))
        assert got.n == rows.sum()
        assert got.ci_low < got.value < got.ci_high


def test_families_by_hand():
    t = task()
    shared = ["GAN", "Real", "VAE"]
    rows = np.isin(t.image_families, shared)
    families = np.array(t.column_families)
    summed = np.stack([t.proba[:, families == f].sum(axis=1) for f in shared], axis=1)
    predicted = np.array(shared)[summed.argmax(axis=1)]
    got = transfer.family_score(t)
    assert got.value == pytest.approx(macro(predicted[rows], t.image_families[rows]))
    assert got.chance == pytest.approx(1 / 3)
    assert transfer.family_score(t, with_real=False).chance == pytest.approx(1 / 2)


def test_unseen_architectures_by_hand():
    t = task()
    rows = np.isin(t.image_sources, ["pggan", "vae"])
    families = np.array(t.column_families)
    gan, vae = (t.proba[rows][:, families == f].sum(axis=1) for f in ("GAN", "VAE"))
    predicted = np.where(gan > vae, "GAN", "VAE")
    got = transfer.disjoint_score(t)
    assert got.value == pytest.approx(macro(predicted, t.image_families[rows]))
    assert (got.n, got.chance) == (70, 0.5)
    assert transfer.disjoint_score(t, with_real=True).chance == pytest.approx(1 / 3)


def test_families_weigh_equally_however_many_sources_they_have():
    t = task(strength=50)
    proba = t.proba.copy()
    proba[t.image_families == "VAE"] = np.eye(5)[1]
    spoiled = transfer.TransferTask(
        proba,
        t.column_architectures,
        t.column_families,
        t.image_sources,
        t.image_architectures,
        t.image_families,
    )
    assert transfer.family_score(t).value == 1
    assert transfer.family_score(spoiled).value == pytest.approx(2 / 3)


def test_two_training_sources_of_one_architecture_are_one_class():
    columns = [*COLUMNS, ("DCGAN", "GAN")]
    t = task(columns=columns)
    assert transfer.shared_score(t, masked=True).chance == pytest.approx(1 / 3)
    summed = t.proba[:, :5].copy()
    summed[:, 1] += t.proba[:, 5]
    merged = transfer.TransferTask(
        summed,
        t.column_architectures[:5],
        t.column_families[:5],
        t.image_sources,
        t.image_architectures,
        t.image_families,
    )
    assert transfer.transfer_scores(t) == transfer.transfer_scores(merged)


def test_a_method_that_knows_nothing_scores_chance():
    for key, chance in (("shared_masked", 1 / 3), ("family", 1 / 3), ("disjoint", 1 / 2)):
        drawn = [transfer.transfer_scores(task(s, strength=0), repeats=2)[key] for s in range(80)]
        assert np.mean([d.value for d in drawn]) == pytest.approx(chance, abs=0.02), key
        assert {d.chance for d in drawn} == {chance}
    flat = task()
    flat = transfer.TransferTask(
        np.eye(5)[[1, 2, 3] * 90],
        flat.column_architectures,
        flat.column_families,
        flat.image_sources,
        flat.image_architectures,
        flat.image_families,
    )
    assert transfer.shared_score(flat, masked=True).value == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize(
    ("trained", "tested", "shared", "cap", "with_real"),
    [
        (12, 15, 7, 0.467, 0.500),  # CIFAR-10 to CelebA
        (15, 12, 7, 0.583, 0.615),  # CelebA to CIFAR-10
        (8, 17, 8, 0.471, 0.500),  # FFHQ to CelebA-HQ
    ],
)
def test_the_caps_of_the_published_pairs(trained, tested, shared, cap, with_real):
    ours = [f"m{i}" for i in range(trained)]
    theirs = ours[:shared] + [f"n{i}" for i in range(tested - shared)]
    assert transfer.closed_set_cap(ours, theirs) == pytest.approx(cap, abs=5e-4)
    assert transfer.closed_set_cap(ours, theirs, True) == pytest.approx(with_real, abs=5e-4)
    with pytest.raises(ValueError, match="no model"):
        transfer.closed_set_cap(ours, [])


def test_no_value_without_grounds():
    only = task(tested=[t for t in TESTED if t[1] in ("DCGAN", "PGGAN")])
    got = transfer.transfer_scores(only)
    assert got["shared_masked"].reason == (
        "The datasets share 1 architectures (DCGAN); two are needed."
    )
    assert "share 1 families (GAN)" in got["disjoint"].reason
    known = task(tested=[t for t in TESTED if t[1] in ("DCGAN", "NVAE", "Real")])
    assert "Every architecture" in transfer.disjoint_score(known).reason
    new = task(tested=[t for t in TESTED if t[1] in ("DCGAN", "NVAE", "DDPM")])
    assert "No tested image" in transfer.disjoint_score(new).reason
    # GANs alone are new, and the answer always is GAN.
    one = task(tested=[t for t in TESTED if t[1] in ("DCGAN", "NVAE", "PGGAN")])
    assert "one family (GAN)" in transfer.disjoint_score(one).reason
    t = task()
    ids = ["a"] * len(t.image_sources)
    fields = {name: getattr(t, name) for name in t.__dataclass_fields__}
    assert "twice" in transfer.family_score(transfer.TransferTask(**fields | {"ids": ids})).reason
    bad = transfer.TransferTask(**fields | {"proba": t.proba * np.nan})
    assert "not finite" in transfer.family_score(bad).reason
    with pytest.raises(ValueError, match="do not fit"):
        transfer.TransferTask(**fields | {"image_families": ["GAN"]})


def test_the_interval_covers_the_truth():
    large = task(10**6, tested=[(*t[:3], 40 * t[3]) for t in TESTED])
    truth = transfer.family_score(large, repeats=2).value
    hits = 0
    for seed in range(500):
        got = transfer.family_score(task(seed), seed=seed)
        hits += got.ci_low <= truth <= got.ci_high
    assert 0.92 <= hits / 500 <= 0.98
