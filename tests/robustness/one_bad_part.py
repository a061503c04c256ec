"""Part B of the examples: one bad part, and all the rest."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from folders import write_card
from PIL import Image
from tried import Tried, child, refusal


def one_bad_part(tried: Tried) -> None:
    """Part B."""
    tried.refused(
        "11", tried.run("--method", "nope", "--method", "majority", "--json"),
        "no method 'nope'", '"status": "done"', code=1,
    )  # fmt: skip
    same = tried.sources("same", "real", "a")
    shutil.copytree(same / "a", same / "b")
    tried.refused("12", tried.run("--method", "majority", dataset=same), "same image")

    def bounds() -> tuple[str, bool]:
        from fpbench.errors import BadInput
        from fpbench.runs.record import parse_record
        from fpbench.runs.store import find_records

        path = next(find_records(tried.folder / "runs"))
        said, taken = [], 0
        for place, value in (
            ("cost.fit_seconds", -1), ("created", "9999-01-01T00:00:00Z"),
            ("test.shortcut", 5.0), ("artifacts.predictions.size", -1),
            ("scores.accuracy.n", 10**18), ("setup.embedding_dimension", -3),
        ):  # fmt: skip
            document = json.loads(path.read_text("utf-8"))
            *parents, last = place.split(".")
            target = document
            for name in parents:
                target = target[name]
            target[last] = value
            try:
                parse_record(json.dumps(document), path)
                taken += 1
                said.append(f"takes {place}={value}")
            except BadInput as error:
                said.append(str(error).split(": ", 1)[-1][:60])
        return "; ".join(said), taken == 0

    tried.seen("13", "records that cannot be", bounds)

    def full() -> tuple[str, bool]:
        if not Path("/dev/full").exists():
            return "this system has no /dev/full", True
        return child(
            "from pathlib import Path; from fpbench.files import told\n"
            "try:\n    with told(Path('x')):\n        f = open('/dev/full', 'w', 1); "
            "f.write('x' * 99999)\nexcept Exception as e: print(type(e).__name__, e)",
            "No space left on device. Free space there, or choose another",
        )

    tried.seen("14", "a full disk (test_full_disk.py fills a small one)", full)
    for option in ("--seeds", "--folds", "--workers", "--threads"):
        tried.refused("15", tried.run("--method", "pixels", option, "20000000"), "range")
    tried.refused("15", ["ablate", "--method", "pixels", "--dataset", str(tried.images),
                        "--vary", "train-images", "--values", "99999999"], "Error")  # fmt: skip
    (tried.folder / "record.json").symlink_to("/dev/zero")
    tried.refused("15", ["verify", str(tried.folder / "record.json")], "no plain file")
    pipe = tried.sources("pipe", "real", "a")
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe / "a" / "x.png")
        tried.refused("15", tried.run("--method", "majority", dataset=pipe), "x.png")
    tried.seen("16", "200 kills", lambda: ("see test_kills.py", True))
    large = tried.sources("large", "real", "a", "b", size=32)
    words = tried.run("--method", "wang", "--json", dataset=large)
    tried.refused("17", words, "may not be asked", code=0)
    what_can_be_run(tried)
    evidence_and_scratch(tried)
    the_hub_and_the_audit(tried)


def what_can_be_run(tried: Tried) -> None:
    """Examples 11 and 12."""
    broken = tried.sources("broken", "real", "a")
    (broken / "a" / "001.png").write_bytes(b"no picture")
    good, bad = str(tried.images), str(broken)
    for order in ((bad, good), (good, bad)):
        words = [*tried.run("--method", "majority", "--json", dataset=order[0], out="both")]
        words += ["--dataset", order[1]]
        tried.refused("11", words, "001.png", '"status": "done"', code=1)
    tried.refused("11", tried.run("--method", "majority", dataset="all"), "It is not built here",
                  code=1)  # fmt: skip
    card = write_card(tried.folder / "card")
    recipe = json.loads((card / "recipe.yaml").read_text("utf-8"))

    def built(name: str, change: dict[str, object], *sentences: str) -> None:
        other = {**recipe, "sources": {**recipe["sources"], "a": change}}
        (card / "recipe.yaml").write_text(json.dumps(other), encoding="utf-8")
        out = str(tried.folder / f"built {name}")
        tried.refused("12", ["data", "build", str(card), "--out", out], *sentences)

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"bytes": p.read_bytes(), "path": p.name} for p in sorted(card.glob("images/a/*"))]
    rows[7]["bytes"] = None  # type: ignore[typeddict-item]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (card / "rows").mkdir()
    pq.write_table(pa.table({"image": pa.array(rows, kind)}), card / "rows" / "a.parquet")
    built("rows", {"kind": "parquet", "path": "rows"}, "holds no bytes of an image", "Row 7")
    built("twice", {"kind": "folder", "path": "images/b"}, "images/b")
    for path in (card / "images" / "a").iterdir():
        Image.open(path).resize((64, 40)).save(path)
    resized = {"kind": "folder", "path": "images/a", "preprocess": {"resize": 16}}
    built("squeezed", resized, "would squeeze")


def evidence_and_scratch(tried: Tried) -> None:
    """Examples 13 and 16."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fpbench.files import SCRATCH, _host, file_sha256
    from fpbench.runs.store import find_records

    run = next(find_records(tried.folder / "runs")).parent
    copy = tried.folder / "claimed"
    shutil.copytree(run, copy)
    table = pq.read_table(copy / "predictions.parquet")
    more = table.append_column("note", pa.array(["x"] * len(table)))
    pq.write_table(more, copy / "predictions.parquet")
    document = json.loads((copy / "record.json").read_text("utf-8"))
    entry = document["artifacts"]["predictions"]
    entry["sha256"] = file_sha256(copy / "predictions.parquet")
    entry["size"] = (copy / "predictions.parquet").stat().st_size
    (copy / "record.json").write_text(json.dumps(document), encoding="utf-8")
    tried.refused(
        "13", ["verify", "--no-rerun", str(copy)], "a column 'note', which no run", code=1
    )

    def scratch() -> tuple[str, bool]:
        left = tried.folder / "runs" / f"{SCRATCH}{_host()}-999999999-x"
        left.mkdir()
        code, _, _ = tried.call(*tried.run("--method", "majority"))
        return f"exit code {code}, there: {left.exists()}", code == 0 and not left.exists()

    tried.seen("16", "scratch of a process that is gone, at the next start", scratch)
    if hasattr(os, "mkfifo"):
        for name in ("SIGTERM", "SIGHUP"):
            script = (
                "import os, signal, sys\nfrom fpbench.cli import main\n"
                f"def kill(*a, **k): os.kill(os.getpid(), signal.{name})\n"
                "import fpbench.runs.execute as e\ne.execute = kill\n"
                "import fpbench.runs.executors.local as l\nl.execute = kill\n"
                f"sys.argv[1:] = {tried.run('--method', 'pixels', '--again')!r}\nmain.entry()"
            )
            number = {"SIGTERM": 143, "SIGHUP": 129}[name]
            tried.seen(
                "16",
                name,
                lambda s=script, n=number: child(s, "Interrupted. Finished jobs are kept", code=n),
            )  # type: ignore[misc]


def the_hub_and_the_audit(tried: Tried) -> None:
    """Examples 17 and 17a."""
    import urllib.request
    from types import SimpleNamespace

    from huggingface_hub.errors import HfHubHTTPError

    from fpbench.hub import hub_errors
    from fpbench_methods.nn import hub

    def answered(status: int) -> None:
        # How it is made depends on the HTTP library beneath the client, which changes.
        error = HfHubHTTPError.__new__(HfHubHTTPError, f"status {status}")
        error.response = SimpleNamespace(status_code=status)  # type: ignore[assignment]
        with hub_errors("model", "me/mine"):
            raise error

    for status, sentence in ((429, "asked too often"), (503, "out of order"), (403, "refuses")):
        tried.seen("17", f"the Hub's answer {status}",
                   lambda s=status, t=sentence: refusal(lambda: answered(s), t))  # type: ignore[misc]  # fmt: skip

    def no_proxy() -> tuple[str, bool]:
        real, urllib.request.getproxies = urllib.request.getproxies, lambda: {"no": "localhost"}
        try:
            return refusal(lambda: hub.check_connection("https://127.0.0.1:9/x"), "refused")
        finally:
            urllib.request.getproxies = real

    tried.seen("17", "with NO_PROXY alone the address itself is tried, at once", no_proxy)

    def twins() -> tuple[str, bool]:
        from fpbench.datasets.resolve import resolve
        from fpbench.datasets.twins import shared_positions

        one = np.asarray(resolve("gm-mini").load().test.of_source("real").pixels)[:60]
        noise = np.random.default_rng(1).normal(25, 6, one.shape)
        two = np.clip(np.rint(one + noise), 0, 255).astype(np.uint8)
        images = {"one": one, "two": two}
        names = {name: [f"{k:04}.png" for k in range(60)] for name in images}
        found = shared_positions(names, lambda source, chosen: images[source][list(chosen)])
        return str(found)[:110], [(t.first, t.second) for t in found] == [("one", "two")]

    tried.seen("17a", "one training taken for two, brightness shifted", twins)
