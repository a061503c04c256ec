"""Part A of the examples: wrong numbers, or harm."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from tried import Tried, child


def wrong_numbers(tried: Tried) -> None:
    """Part A."""
    weights = tried.folder / "w.safetensors"
    weights.write_bytes(b"first")

    def keys() -> tuple[str, bool]:
        from fpbench.runs.job import Side
        from fpbench.runs.plan import make_plan

        side = Side("x", "1", "0" * 64)
        found = []
        for content in (b"first", b"second"):
            weights.write_bytes(content)
            params = {"weights": str(weights)}
            found.append(make_plan(["wang"], [(side, side)], params=params)[0].key)
        return " and ".join(found), found[0] != found[1]

    tried.seen("1", "wang --set weights=FILE with another file", keys)

    def digests() -> tuple[str, bool]:
        from fpbench.datasets.resolve import resolve
        from fpbench.registry import card_folders

        copy = tried.folder / "copy"
        shutil.copytree(card_folders()["gm-mini"], copy)
        before = resolve(str(copy)).identity.digest
        text = (copy / "sources.yaml").read_text("utf-8")
        (copy / "sources.yaml").write_text(text.replace("GAN", "VAE", 1), encoding="utf-8")
        after = resolve(str(copy)).identity.digest
        return f"digest {before[:8]} became {after[:8]}", before != after

    tried.seen("1", "another family in sources.yaml", digests)

    def distribution() -> tuple[str, bool]:
        from fpbench.distribution import NAME, install_command

        command = install_command("zoo")
        return command, NAME != "fpbench" and "'fpbench[" not in command

    tried.seen("2", "what a message tells to install", distribution)
    plugin = tried.folder / "exits.py"
    plugin.write_text("import sys\nsys.exit(0)\n")

    def exits() -> tuple[str, bool]:
        before = Path.cwd()
        os.chdir(tried.folder)
        try:
            code, _, err = tried.call("methods", "check", "exits:Method")
        finally:
            os.chdir(before)
        return f"{code}: {err.strip()}", code == 2 and "sys.exit" in err

    tried.seen("3", "methods check of a module that calls sys.exit", exits)
    mine = tried.folder / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("mine")
    tried.refused("4", ["data", "build", "gm-mini", "--out", str(mine)], str(mine))
    tried.refused("4", ["data", "build", "gm-mini", "--out", ""], "is no path")
    tried.seen(
        "4", "README.md of the user after that",
        lambda: ((mine / "README.md").read_text(), (mine / "README.md").read_text() == "mine"),
    )  # fmt: skip
    tried.seen(
        "5", "OMP_WAIT_POLICY after import of the training room",
        lambda: child("import fpbench.compute.threads, os; print(os.environ.get("
                       "'OMP_WAIT_POLICY'))", "PASSIVE"),
    )  # fmt: skip
    for setting in ("levels=four", "c=NaN", "c=Infinity", "bins=1e30", "camera=maybe"):
        name = {"levels": "nataraj", "c": "logdct", "bins": "durall", "camera": "prnu"}
        method = name[setting.partition("=")[0]]
        tried.refused("6", tried.run("--method", method, "--set", setting), "Error: ")
    tried.refused("6", tried.run("--method", "logdct", "--set", "c=1", "--set", "c=2"), "twice")
    deep = tried.sources("deep", "real", "a")
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(deep / "a" / "000.png")
    tried.refused("7", tried.run("--method", "pixels", dataset=deep), "000.png")
    what_a_job_rests_on(tried)
    plugins_and_packages(tried)
    parameters(tried)
    files_of_images(tried)
    figures_and_state(tried)


def what_a_job_rests_on(tried: Tried) -> None:
    """Examples 1 and 9."""
    from dataclasses import replace

    from fpbench.runs.job import Side
    from fpbench.runs.plan import make_plan

    def fdr() -> tuple[str, bool]:
        from fpbench.datasets.resolve import resolve

        copy = tried.folder / "copy"
        before = resolve(str(copy)).identity.digest
        text = (copy / "recipe.yaml").read_text("utf-8")
        other = re.sub(r"dimensions: \d+", "dimensions: 1", text)
        (copy / "recipe.yaml").write_text(other, encoding="utf-8")
        after = resolve(str(copy)).identity.digest
        return f"digest {before[:8]} became {after[:8]}", before != after

    tried.seen("1", "another d of fdr: in recipe.yaml", fdr)

    def described() -> tuple[str, bool]:
        code, _, _ = tried.call(*tried.run("--method", "majority", out="described"))
        sources = tried.images / "sources.yaml"
        sources.write_text("model-a: {family: GAN, architecture: A}\n", encoding="utf-8")
        again, _, told = tried.call(*tried.run("--method", "majority", out="described"))
        sources.unlink()
        return told.strip()[-100:], (code, again) == (0, 0) and "done before" not in told

    tried.seen("1", "the same job after sources.yaml has changed", described)

    def pins() -> tuple[str, bool]:
        from fpbench_methods.nn.pins import pin_of

        pin = pin_of("timm/resnet50.tv_in1k")
        return f"{pin.commit} {pin.sha256}", bool(pin.commit and pin.sha256)

    tried.seen("1", "which weights of the Hub wang means", pins)

    def commits() -> tuple[str, bool]:
        side = Side("org/faces", "1", "0" * 64)
        renamed = replace(side, name="other/faces", location="/somewhere")
        keys = {make_plan(["majority"], [(s, s)])[0].key for s in (side, renamed)}
        return " ".join(keys), len(keys) == 1 and not hasattr(side, "commit")

    tried.seen("9", "jobs of one content under two names; a commit is no part of one", commits)


def plugins_and_packages(tried: Tried) -> None:
    """Examples 2 and 3."""
    into = tried.folder / "plugins"
    into.mkdir()

    def scaffold() -> tuple[str, bool]:
        from fpbench.distribution import NAME

        code, _, _ = tried.call("methods", "new", "another-one", "--into", str(into))
        text = (into / "another-one" / "pyproject.toml").read_text("utf-8")
        line = next(line for line in text.splitlines() if line.startswith("dependencies"))
        return line, code == 0 and NAME in line and '"fpbench"' not in line

    tried.seen("2", "what a new plugin depends on (test_distribution.py: beside a decoy)", scaffold)

    def exits(where: str) -> tuple[str, bool]:
        """A plugin that ends the process when it is imported, or when it is fitted."""
        script = f"""
import sys
from fpbench import registry
from fpbench.cli.main import entry
from fpbench_methods.majority import Majority
class Exits(Majority):
    def fit(self, *a, **k): sys.exit(0)
real = registry.method_class
registry.method_class = lambda name: Exits if name == "pixels" else real(name)
registry.resolve_method = lambda name: (Exits if name == "pixels" else real(name), "shares")
entry({tried.run("--method", "pixels", "--method", "majority", "--json", out=where)!r})
"""
        done = child(script, "it called sys.exit(0), which a method must not", code=1)
        return done

    tried.seen("3", "sys.exit(0) in fit, and the other method still runs", lambda: exits("exits"))


def parameters(tried: Tried) -> None:
    """Example 6."""
    for method, setting in (
        ("prnu", "camera=0.5"), ("nataraj", "levels=2.5"), ("asnani", "sigmoid=x"),
        ("dsf", "normalise=../../etc/passwd"),
    ):  # fmt: skip
        tried.refused("6", tried.run("--method", method, "--set", setting), "is not possible")

    def false() -> tuple[str, bool]:
        from fpbench.registry import method_class

        read = [method_class("prnu").read_parameters({"camera": v}) for v in ("True", "False")]
        return str(read), {"camera": True} in read and {"camera": "False"} not in read

    tried.seen("6", "camera=False", false)


def files_of_images(tried: Tried) -> None:
    """Example 7."""
    import struct
    import zlib

    def png(*chunks: tuple[bytes, bytes]) -> bytes:
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )

    def header(depth: int) -> tuple[bytes, bytes]:
        return b"IHDR", struct.pack(">IIBBBBB", 16, 16, depth, 2, 0, 0, 0)

    lines, deep = zlib.compress(bytes(49) * 16), zlib.compress(bytes(97) * 16)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    cases: dict[str, tuple[bytes | dict[str, object], str]] = {
        "16-bit RGB": (png(header(16), (b"IDAT", deep), (b"IEND", b"")), "16 bits a channel"),
        "tRNS": (
            png(header(8), (b"tRNS", bytes(6)), (b"IDAT", lines), (b"IEND", b"")),
            "transparent colour",
        ),
        "an orientation": ({"exif": exif}, "orientation 6"),
        "two frames": ({"save_all": True, "append_images": [image]}, "2 frames"),
    }
    for name, (content, sentence) in cases.items():
        folder = tried.sources(f"of {name}", "real", "a")
        path = folder / "a" / "001.png"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            other = Image.fromarray(np.full((16, 16, 3), 9, np.uint8))
            image.save(path, **{**content, **({"append_images": [other]} if "save_all" in content
                                              else {})})  # fmt: skip
        tried.refused("7", tried.run("--method", "pixels", dataset=folder), "001.png", sentence)

    def audited() -> tuple[str, bool]:
        from fpbench.datasets.decoding import read_header

        found = str(read_header(cases["16-bit RGB"][0], "x"))  # type: ignore[arg-type]
        return found, "16" in found

    tried.seen("7", "what the audit reads of a 16-bit file", audited)


def figures_and_state(tried: Tried) -> None:
    """Examples 5, 8 and 10."""
    named = tried.sources("named", "real", "a$x^$", "源")
    drawing = [w for w in tried.run("--method", "majority", dataset=named) if w != "--no-figures"]
    tried.refused("8", [*drawing, "--json"], '"status": "done"', '"notes": []', code=0)

    def processor_time() -> tuple[str, bool]:
        from fpbench.method import FitContext
        from fpbench.runs import timelimit

        class Stopped:
            """A clock of a machine that gives this process no time."""

            now = 0.0

            def perf_counter(self) -> float:
                return self.now

            def process_time(self) -> float:
                return self.now / 100

        clock, real = Stopped(), timelimit.time
        timelimit.time = clock  # type: ignore[assignment]
        try:
            context = timelimit.limited(FitContext(), 10)
            for done in range(101):
                context.progress("t", done, 100)
                clock.now += 60
        finally:
            timelimit.time = real
        return "100 minutes of the wall, one of the processor: not declined", True

    tried.seen("17b", "a limit of 10 minutes on a loaded machine", processor_time)

    def restored() -> tuple[str, bool]:
        import warnings

        import torch

        from fpbench.compute.isolation import isolated

        before = Path.cwd()
        with isolated():
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            os.chdir("/")
            os.environ["FPBENCH_X"] = "1"
            warnings.simplefilter("error")
        kept = (torch.get_default_dtype(), torch.is_grad_enabled(), Path.cwd() == before)
        return str(kept), kept == (torch.float32, True, True) and "FPBENCH_X" not in os.environ

    tried.seen("10", "dtype, grad mode, folder, environment after a plugin changed them", restored)

    def prints() -> tuple[str, bool]:
        script = f"""
import os
from fpbench import registry
from fpbench.cli.main import entry
from fpbench_methods.majority import Majority
class Prints(Majority):
    def fit(self, *a, **k):
        print("hello"); os.write(1, b"hello")
        return super().fit(*a, **k)
registry.method_class = lambda name: Prints
registry.resolve_method = lambda name: (Prints, "shares")
entry({tried.run("--method", "majority", "--json", out="prints")!r})
"""
        return child(script, '"status": "done"', only_json=True)

    tried.seen("10", "--json of a plugin that prints", prints)
