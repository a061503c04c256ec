"""A folder that an earlier version saved is read as this one's, and a wrong one is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fpbench.conformance.planted import PlantedSets, planted_sets
from fpbench.errors import BadInput
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, Method
from fpbench_methods.asnani import Asnani, AsnaniParsing
from fpbench_methods.bases.saved import SavedMethod
from fpbench_methods.dsf import DSF
from fpbench_methods.majority import Majority
from fpbench_methods.manifpt import ManiFPT
from fpbench_methods.prnu import PRNU
from fpbench_methods.yu import Yu, YuVisualisation

Facts = dict[str, Any]
FACTS, ARRAYS = "state.json", "state.safetensors"


def designed(sets: PlantedSets) -> PlantedSets:
    made = tuple(
        Source(s.name, s.family, s.architecture, {"loss": s.name}) for s in sets.train.sources
    )
    train, validation, test = (
        ImageSet(s.pixels, made, s.labels) for s in (sets.train, sets.validation, sets.test)
    )
    return PlantedSets(train, sets.reference, validation, test)


SETS = designed(planted_sets((16, 16), kind="pattern", planted=2, counts=(12, 4, 4), seed=3))


def old_yu(facts: Facts) -> Facts:
    params = facts["params"]
    names = ("network", "switching_resolution", "width", "flip", "resize")
    usual = {"network": "visnet", "switching_resolution": None, "resize": None}
    return {name: (usual | params)[name] for name in names} | {"size": facts["size"]}


def old_asnani(facts: Facts) -> Facts:
    names = ("sigmoid", "batch_max", "fixed_window", "depth", "width")
    params = {name: ({"sigmoid": False} | facts["params"])[name] for name in names}
    parsing = "values" in facts["extra"]
    extra = facts["extra"] if parsing else {"values": {}, "majority": {}}
    params["head"] = "parsing" if parsing else "attribution"
    return {"params": params, "size": facts["size"], **extra}


def old_dsf(facts: Facts) -> Facts:
    params = {name: facts["params"][name] for name in ("pool", "residual")}
    params["bag_size"] = facts["extra"]["bag_size"]
    return {"params": params, "widths": facts["extra"]["widths"]}


def old_manifpt(facts: Facts) -> Facts:
    names = ("space", "nn", "k", "backbone", "side")
    params = {name: facts["params"][name] for name in names}
    return params | {"architecture": "resnet20"}


def old_prnu(facts: Facts) -> Facts:
    return {**facts["params"], "temperature": facts["temperature"]}


CASES: list[tuple[type[SavedMethod], dict[str, Any], Any]] = [
    (Yu, {"width": 16, "epochs": 1}, old_yu),
    (Yu, {"width": 16, "epochs": 1, "network": "postpool", "switching_resolution": 8}, old_yu),
    (YuVisualisation, {"width": 16, "epochs": 1}, old_yu),
    (Asnani, {"width": 4, "depth": 3, "epochs": 1, "sigmoid": True}, old_asnani),
    (AsnaniParsing, {"width": 4, "depth": 3, "epochs": 1}, old_asnani),
    (DSF, {"steps": 2}, old_dsf),
    (DSF, {"steps": 2, "pool": "sum", "residual": True, "bag_size": 2}, old_dsf),
    (ManiFPT, {"k": 2}, old_manifpt),
    (PRNU, {"sigma": 3.0, "camera": True}, old_prnu),
]


@pytest.mark.parametrize(("cls", "params", "old"), CASES, ids=lambda v: getattr(v, "__name__", ""))
def test_an_earlier_versions_folder_is_read(
    cls: type[SavedMethod], params: dict[str, Any], old: Any, tmp_path: Path
) -> None:
    method = cls(**params).fit(
        SETS.train, reference=SETS.reference, validation=SETS.validation,
        context=FitContext(budget="smoke"),
    )  # fmt: skip
    method.save(tmp_path)
    document = json.loads((tmp_path / FACTS).read_text())
    document["facts"] = old(document["facts"])
    (tmp_path / FACTS).write_text(json.dumps(document))
    arrays = load_file(tmp_path / ARRAYS)
    flat = {name.removeprefix("extra."): value for name, value in arrays.items()}
    save_file(flat, tmp_path / ARRAYS)

    loaded = cls.load(tmp_path)
    test = SETS.test.unlabelled()
    np.testing.assert_array_equal(loaded.embed(test), method.embed(test))
    np.testing.assert_array_equal(loaded.predict_proba(test), method.predict_proba(test))


def fitted(cls: type[Method]) -> Method:
    return cls().fit(
        SETS.train, reference=SETS.reference, validation=SETS.validation, context=FitContext()
    )


def test_a_folder_of_another_method_or_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no saved method"):
        Majority.load(tmp_path)
    fitted(Majority).save(tmp_path)
    with pytest.raises(BadInput, match="holds the method 'majority', not 'prnu'"):
        PRNU.load(tmp_path)


def test_a_training_that_breaks_off_leaves_no_fitted_method() -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    method = Yu(width=16, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        method.fit(
            SETS.train, reference=SETS.reference, validation=SETS.validation,
            context=FitContext(budget="smoke", progress=interrupt),
        )  # fmt: skip
    with pytest.raises(ValueError, match="yu is not fitted"):
        method.embed(SETS.test.unlabelled())
