"""What cards state of rates, epochs, batches and widths is what the code does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fpbench import registry
from fpbench.compute.training_plan import TrainingPlan
from fpbench.method import BUDGETS, Budget
from fpbench_methods.asnani import Asnani, AsnaniParsing
from fpbench_methods.asnani.estimating import EstimatingMethod
from fpbench_methods.bases.network import NetworkMethod
from fpbench_methods.dnadet import method as dnadet
from fpbench_methods.dsf.lengths import LENGTHS
from fpbench_methods.manifpt import ManiFPT
from fpbench_methods.manifpt import method as manifpt
from fpbench_methods.nn.dncnn import SIZES
from fpbench_methods.riemann.settings import settings_for
from fpbench_methods.yu import Yu, YuVisualisation

IMAGES = 5000
PAGES = Path(__file__).parents[2] / "docs" / "methods"


def rate(value: float) -> str:
    """As cards write it: 1e-4, 0.01, 0.1."""
    mantissa, exponent = f"{value:e}".split("e")
    short = f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}" if value >= 0.01 else short


def plans(cls: type[NetworkMethod], **params: object) -> list[TrainingPlan]:  # type: ignore[type-arg]
    """Of smoke, small and full."""
    return [cls(**params).plan(budget, IMAGES) for budget in BUDGETS]


def network(name: str) -> type[NetworkMethod]:  # type: ignore[type-arg]
    cls = registry.method_class(name)
    assert issubclass(cls, NetworkMethod)
    return cls


def yu() -> list[str]:
    smoke, small, full = plans(Yu)
    theirs = plans(YuVisualisation)
    assert {plan.betas for plan in (*theirs, smoke, small, full)} == {(0.0, 0.99)}
    assert small.schedule == "cosine" and smoke.schedule == full.schedule == "constant"
    assert {plan.schedule for plan in theirs} == {"constant"}
    assert full.lr == theirs[2].lr and smoke.lr == small.lr and theirs[0].lr == theirs[1].lr
    for cls, plan, shown in ((Yu, full, 100e6), (YuVisualisation, theirs[2], 25e6)):
        assert cls.images_shown == shown and plan.epochs * IMAGES == pytest.approx(shown)
    ours, other = Yu.widths, YuVisualisation.widths
    return [
        f"Adam with β = (0, 0.99), batch {full.batch}, at budget full rate {rate(full.lr)} through",
        f"widths of {ours['smoke']} and {ours['small']} (visnet {other['smoke']} and "
        f"{other['small']}) instead of {ours['full']}",
        f"training images {smoke.epochs} and {small.epochs} times (visnet {theirs[0].epochs} and "
        f"{theirs[1].epochs})",
        f"rate is {rate(small.lr)}, in small falling along a cosine (visnet {rate(theirs[1].lr)})",
        f"running average {theirs[2].average}",
        "100 million images shown (25 million for visnet)",
    ]


def estimation(cls: type[EstimatingMethod], budget: Budget) -> tuple[int, int]:  # type: ignore[type-arg]
    """Convolutions of the estimation network and their width."""
    method = cls()
    method._budget = budget
    convolutions = [layer for layer in method.estimation() if hasattr(layer, "out_channels")]
    return len(convolutions), int(convolutions[0].out_channels)  # type: ignore[arg-type]


def asnani() -> list[str]:
    ours, theirs = plans(Asnani), plans(AsnaniParsing)
    assert ours[2].epochs * IMAGES == Asnani.images_shown == 1_000_000
    assert theirs[1].lr == theirs[2].lr == ours[2].lr
    assert theirs[1].epochs == theirs[2].epochs
    assert ours[0].lr == ours[1].lr == theirs[0].lr
    depth, width = estimation(Asnani, "full")
    smoke, small = (estimation(Asnani, budget) for budget in ("smoke", "small"))
    return [
        f"Fingerprint estimation network of {depth} convolutions, {width} wide (budget full)",
        f"at budget full rate {rate(ours[2].lr)}, batch {ours[2].batch}, a million images shown "
        f"for attribution and {theirs[2].epochs} epochs for parsing",
        f"Budgets smoke and small have {smoke[0]} and {small[0]} convolutions, {smoke[1]} and "
        f"{small[1]} wide, and {ours[0].epochs} and {ours[1].epochs} epochs at rate "
        f"{rate(ours[1].lr)}; parsing {theirs[0].epochs} epoch at rate {rate(theirs[0].lr)} and, "
        f"in small, the paper's {theirs[1].epochs} epochs at {rate(theirs[1].lr)}.",
    ]


def dsf() -> list[str]:
    smoke, small, full = (LENGTHS[budget] for budget in BUDGETS)
    assert small.widths == full.widths and small.rate == smoke.rate
    (plan,) = plans(network("dsf"))[2:]
    assert plan.optimiser == "adam" and plan.schedule == "cosine" and plan.lr == full.rate
    widths = "-".join(map(str, full.widths))
    return [
        f"four strided convolutions of {widths} channels",
        f"Adam with weight decay {rate(plan.weight_decay)} and a cosine; at budget full rate "
        f"{rate(plan.lr)}, {plan.epochs * full.steps:,} steps, bags of {full.bag_size}",
        f"Budgets smoke and small train {smoke.epochs * smoke.steps} and "
        f"{small.epochs * small.steps} steps with bags of {smoke.bag_size} and {small.bag_size} at "
        f"rate {rate(small.rate)}; smoke has {'-'.join(map(str, smoke.widths))} channels",
    ]


def dnadet_() -> list[str]:
    smoke, small, full = plans(network("dnadet"))
    assert {plan.lr for plan in (smoke, small, full)} == {1e-4}
    # By the epoch, as much as 0.9 every 500 steps would be.
    assert full.gamma == pytest.approx(0.9 ** (-(-IMAGES // full.batch) / dnadet._STEPS_OF_RATE))
    patches, steps = dnadet._PATCHES, dnadet._FIRST_STEPS
    return [
        f"Adam at {rate(full.lr)}, times 0.9 every {dnadet._STEPS_OF_RATE} steps, batches of "
        f"{full.batch}",
        f"first stage 50 epochs in full, {steps['small']} steps in small, {steps['smoke']} in",
        f"second stage {full.epochs}, {small.epochs} and {smoke.epochs} epochs with "
        f"{patches['full']}, {patches['small']} and {patches['smoke']} patches per image",
    ]


def frank() -> list[str]:
    smoke, small, full = plans(network("frank"))
    penalty = registry.method_class("frank").parameters()["l2"]
    return [
        f"Adam at {rate(full.lr)}, batches of {full.batch}, at most {full.epochs} epochs, stopped "
        f"after {full.patience} without",
        f"an L2 penalty of {penalty}",
        f"at most {small.epochs} and {full.epochs} epochs",
        f"{smoke.epochs} epochs on at most {network('frank').smoke_images} training images per",
    ]


def marra18() -> list[str]:
    smoke, small, full = plans(network("marra18"))
    return [
        f"Adam at {rate(full.lr)} in batches of {full.batch}, at most {full.epochs} epochs, "
        f"patience {full.patience}",
        f"small: {small.epochs} epochs; smoke: {smoke.epochs} epoch on at most "
        f"{network('marra18').smoke_images} training images",
    ]


def wang() -> list[str]:
    smoke, small, full = plans(network("wang"))
    assert full.schedule == "plateau" and full.gamma == 0.1
    return [
        f"Adam at {rate(full.lr)} in batches of {full.batch}, a tenth after {full.plateau} epochs "
        f"without a better validation until {rate(full.min_lr)}",
        f"at most {full.epochs} epochs. Budget small: {small.epochs} epochs; smoke: "
        f"{smoke.epochs} epoch on at most {network('wang').smoke_images} training images",
    ]


def npr() -> list[str]:
    smoke, small, full = plans(network("npr"))
    return [
        f"Rate ({rate(full.lr)}, {full.schedule}), batch ({full.batch}) and length (full "
        f"{full.epochs}, small {small.epochs}, smoke {smoke.epochs} epochs)"
    ]


def nataraj() -> list[str]:
    smoke, small, full = plans(network("nataraj"))
    return [
        f"Adam at {rate(full.lr)} ({full.schedule}), batches of {full.batch}",
        f"train {smoke.epochs} and {small.epochs} epochs, full at most {full.epochs}",
    ]


def manifpt_() -> list[str]:
    smoke, small, _ = plans(ManiFPT)
    code = plans(ManiFPT, attributor="resnet20")[2]
    tuned = plans(ManiFPT)[2]
    vectors = plans(ManiFPT, space="sl")[2]
    assert code.milestones == (code.epochs * 100 // 180, code.epochs * 150 // 180)
    assert code.gamma == 0.1 and vectors.optimiser == "adamw"
    assert tuned.schedule == "cosine" and tuned.optimiser == "sgd"
    return [
        f"SGD, rate {rate(code.lr)}, momentum {code.momentum}, weight decay "
        f"{rate(code.weight_decay)}, a tenth at 100/180 and 150/180 of the epochs, batch "
        f"{code.batch}",
        f"use ResNet-20 and {smoke.epochs} or {small.epochs} epochs instead of {code.epochs}",
        f"SGD, rate {rate(tuned.lr)}, cosine, {tuned.epochs} epochs",
        f"AdamW at {rate(vectors.lr)}",
        f"to {manifpt._SIDES['small']} in budget small and {manifpt._SIDES['smoke']} in smoke",
    ]


def riemann() -> list[str]:
    smoke, small, full = (settings_for(budget, (32, 32)) for budget in BUDGETS)
    for budget, plan in zip(BUDGETS, plans(network("riemann")), strict=True):
        assert plan == ManiFPT().plan(budget, IMAGES), "that of manifpt:rgb"
    usual = ManiFPT(attributor="resnet20")
    for budget, plan in zip(BUDGETS, plans(network("resnet20")), strict=True):
        assert plan == usual.plan(budget, IMAGES)
    return [
        "The attributor and its training are those of manifpt:rgb",
        f"rank {smoke.pool} and {small.pool} candidates instead of {full.pool}, with geodesics of "
        f"{smoke.ranking.segments} and {small.ranking.segments} pieces instead of "
        f"{full.ranking.segments} and {smoke.ranking.steps} and {small.ranking.steps} steps "
        f"instead of {full.ranking.steps}",
    ]


def prnu() -> list[str]:
    smoke, small, full = (SIZES[budget] for budget in BUDGETS)
    usual = registry.method_class("prnu").parameters()
    return [
        f"{usual['levels']} levels where the size allows, sigma {usual['sigma']:g}",
        f"{smoke.depth} convolutions of {smoke.width} channels under budget smoke, {small.depth} "
        f"of {small.width} under small, the {full.depth} of {full.width} of its paper",
    ]


STATED: dict[str, Callable[[], list[str]]] = {
    "asnani": asnani,
    "dnadet": dnadet_,
    "dsf": dsf,
    "frank": frank,
    "manifpt": manifpt_,
    "marra18": marra18,
    "nataraj": nataraj,
    "npr": npr,
    "prnu": prnu,
    "resnet20": lambda: ["Network and training are those of manifpt:rgb"],
    "riemann": riemann,
    "wang": wang,
    "yu": yu,
}


@pytest.mark.parametrize("name", STATED)
def test_a_card_states_what_the_code_does(name: str) -> None:
    card = registry.method_class(name).card
    text = " ".join((*card.faithful, *card.different))
    for sentence in STATED[name]():
        assert sentence in text


def test_every_trained_network_is_compared_with_its_card() -> None:
    trained = {
        name
        for name in registry.method_names()
        if issubclass(registry.method_class(name), NetworkMethod)
    }
    assert trained <= STATED.keys()


def test_the_pages_of_yu_and_asnani_state_it_too() -> None:
    page = (PAGES / "yu.md").read_text(encoding="utf-8")
    for number, budget in enumerate(BUDGETS):
        ours, theirs = plans(Yu)[number], plans(YuVisualisation)[number]
        cells = [
            f"width {cls.widths[budget]}, "
            + ("M million images shown" if budget == "full" else f"{plan.epochs} epochs")
            + f", rate {rate(plan.lr)}"
            + (", cosine" if plan.schedule == "cosine" else "")
            for cls, plan in ((Yu, ours), (YuVisualisation, theirs))
        ]
        shown = [cls.images_shown // 10**6 for cls in (Yu, YuVisualisation)]
        row = " | ".join(c.replace("M m", f"{m} m") for c, m in zip(cells, shown, strict=True))
        assert f"| {budget} | {row} |" in page
    page = (PAGES / "asnani.md").read_text(encoding="utf-8")
    for number, budget in enumerate(BUDGETS):
        depth, width = estimation(Asnani, budget)
        ours, theirs = plans(Asnani)[number], plans(AsnaniParsing)[number]
        assert f"| {budget} | {depth} convolutions, {width} wide |" in page
        both = (
            rate(ours.lr)
            if ours.lr == theirs.lr
            else f"{rate(ours.lr)} (parsing {rate(theirs.lr)})"
        )
        assert f"| {both}, {ours.batch} |" in page
