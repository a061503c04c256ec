"""A method that does what a test asks of it, e.g. kills its process; installed by `conftest`."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fpbench.method import Method, MethodCard, Variant


class Toy(Method):
    """Trains a small network by torch, whose result depends on the number of threads.

    Args:
        label: Tells jobs apart, and names the file that says what to do; see `_act`.
    """

    card = MethodCard(
        name="toy",
        title="A toy",
        authors="The fpbench maintainers",
        year=2026,
        citation="@misc{toy, title = {A toy}, year = {2026}}",
        licence="MIT",
        version="1",
        variants={"plain": Variant("the only one")},
        min_size=8,
    )

    def __init__(self, *, label: str = "no one") -> None:
        self.label = label

    def fit(self, train, *, reference, validation, context):
        """Do as told, then train."""
        import torch

        os.write(1, b"something on standard output\n")
        self._act(context)
        with torch.random.fork_rng():
            torch.manual_seed(context.seed)
            self._network = torch.nn.Sequential(
                torch.nn.Conv2d(3, 16, 3, stride=2),
                torch.nn.ReLU(),
                torch.nn.Flatten(),
                torch.nn.LazyLinear(len(train.sources)),
            )
            images, labels = _tensor(train.pixels), torch.from_numpy(np.array(train.labels))
            self._network(images[:1])
        weights = list(self._network.parameters())
        for step in range(20):
            loss = torch.nn.functional.cross_entropy(self._network(images), labels)
            # By hand: the first optimizer of a process imports a compiler, which takes seconds.
            with torch.no_grad():
                for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                    weight -= 0.05 * slope
            context.progress("train", step + 1, 20)
        return self

    def embed(self, images):
        """What the network gives before its softmax."""
        import torch

        with torch.inference_mode():
            return self._network(_tensor(images.pixels)).numpy()

    def predict_proba(self, images):
        """Softmax of `embed`."""
        scores = np.exp(self.embed(images))
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)

    def _act(self, context) -> None:
        """Do what the file named by the label says, after noting that the job has run."""
        folder = Path(os.environ["FPBENCH_TOYS"])
        threads = os.environ.get("OMP_NUM_THREADS")
        with (folder / "ran.txt").open("a") as log:
            log.write(f"{self.label} {os.getpid()} {threads}\n")
        asked = folder / self.label
        what = asked.read_text() if asked.exists() else ""
        if what.startswith("exit "):
            os._exit(int(what[5:]))
        elif what == "segfault":
            ctypes.string_at(0)
        elif what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "raise":
            raise RuntimeError("the toy is broken")
        elif what == "wait":
            # With a child of its own, which must not outlive it, and a file in its scratch.
            import tempfile

            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(tempfile.gettempdir(), "left-by-toy").write_text("left")
            (folder / f"waiting-{os.getpid()}").write_text(f"{child.pid}\n")
            while (folder / self.label).exists():
                time.sleep(0.05)
            child.kill()
            child.wait()


def _tensor(pixels):
    import torch

    return torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 255
