"""What README shows works as printed."""

import re
from pathlib import Path

import numpy as np
import pytest

import fpbench

README = Path(__file__).parents[1] / "README.md"


def test_the_library_example_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = README.read_text("utf-8")
    found = re.search(r"<!-- library-example -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(found[1], str(README), "exec"), names)  # noqa: S102  (our own page)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["logdct:grey", "pixels:nearest"]
    images = len(fpbench.load_dataset("gm-mini").test)
    assert np.shape(names["fingerprints"])[0] == images
    assert np.allclose(np.sum(names["probabilities"], axis=1), 1, atol=1e-3)
    assert sorted(path.name for path in Path("runs").rglob("record.json")) == ["record.json"] * 2


def test_importing_fpbench_imports_nothing_else() -> None:
    import subprocess
    import sys

    script = "import sys, fpbench; print(sorted(m for m in sys.modules if m in %r))"
    heavy = ("numpy", "pydantic", "torch", "click", "yaml")
    done = subprocess.run(
        [sys.executable, "-c", script % (heavy,)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert {"run", "fit", "load_dataset", "read_record"} <= set(dir(fpbench))


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "PASSIVE 1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None")],
)
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(
    given: dict[str, str], found: str
) -> None:
    import os
    import subprocess
    import sys

    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {k: v for k, v in os.environ.items() if k not in names} | given
    script = f"import os, fpbench; print(*map(os.environ.get, {names!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == found
