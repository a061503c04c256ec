"""Prints peak memory and bytes of embeddings after a method has judged some images."""

import sys

import numpy as np

from fpbench import registry
from fpbench.compute.device import peak_memory_bytes
from fpbench.compute.shared import SHARED
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext


def main(name: str, count: int) -> None:
    """Fit on 200 random images, judge `count`, print the two numbers."""
    generator = np.random.default_rng(0)
    sources = (Source("real", "Real", "Real"), Source("a", "Synthetic", "a"))

    def images(number: int) -> ImageSet:
        pixels = generator.integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)
        return ImageSet(pixels, sources, np.arange(number) % 2)

    SHARED.limit(0)  # what is shared between jobs is bounded by itself
    cls, variant = registry.resolve_method(name)
    method = cls.make(variant)
    train = images(200)
    method.fit(train, reference=images(200), validation=train, context=FitContext(budget="smoke"))
    test = images(count).unlabelled()
    embedded = method.embed(test)
    proba = method.predict_proba(test)
    peak = peak_memory_bytes()
    sys.stdout.write(f"{peak} {embedded.nbytes + proba.nbytes}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
