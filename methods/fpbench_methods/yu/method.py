"""The plugin of Yu et al. (ICCV 2019): four networks behind one contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, get_args

import numpy as np

from fpbench.errors import BadInput
from fpbench.images import ImageSet, Source
from fpbench.method import Budget, FitContext, Method, MethodCard
from fpbench_methods.calibration import softmax
from fpbench_methods.state import load_state, save_state
from fpbench_methods.yu.card import YU_CARD

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork

NetworkName = Literal["attribution", "predownscale", "postpool", "visnet"]

_WIDTHS: dict[str, dict[Budget, int]] = {
    "attribution": {"smoke": 64, "small": 128, "full": 1024},
    "visnet": {"smoke": 32, "small": 64, "full": 1024},
}
_EPOCHS: dict[str, dict[Budget, int]] = {
    "attribution": {"smoke": 3, "small": 50},
    "visnet": {"smoke": 2, "small": 14},
}
_RATES: dict[str, dict[Budget, float]] = {
    "attribution": {"smoke": 4e-3, "small": 4e-3, "full": 1e-3},
    "visnet": {"smoke": 1e-2, "small": 1e-2, "full": 1e-3},
}
"""The paper's rate at full; a short training of a narrow network needs larger steps."""
_IMAGES_SHOWN = {"attribution": 100_000_000, "visnet": 25_000_000}
"""Length of the paper's trainings."""
_BATCH = 32


class Yu(Method):
    """Attribution network, its two ablations, and the fingerprint-visualisation network.

    Args:
        network: ``attribution``, ``predownscale``, ``postpool`` or ``visnet``.
        switching_resolution: For the ablations, the side in pixels at which they switch: one of
            the image's side and its halves, or None for a quarter of the side.
        width: Channels of a scale are ``min(width / 2^level, 512)``; None for the budget's, 1024
            in the paper.
        flip: Whether training images are mirrored at random.
        resize: Side that images are resized to (bicubic, antialiased), or None for never. 128
            with 256×256 images imitates ManiFPT's use of this method.
        epochs: Passes over the training images, or None for the budget's.

    Raises:
        ValueError: If a value is out of range.
    """

    card: ClassVar[MethodCard] = YU_CARD

    def __new__(cls, *, network: NetworkName = "attribution", **params: Any) -> Self:
        """An instance; of the class with residuals and source fingerprints for ``visnet``."""
        if cls is Yu and network == "visnet":
            from fpbench_methods.yu.visnet import YuVisualisation

            return cast(Self, object.__new__(YuVisualisation))
        return object.__new__(cls)

    def __init__(
        self,
        *,
        network: NetworkName = "attribution",
        switching_resolution: int | None = None,
        width: int | None = None,
        flip: bool = True,
        resize: int | None = None,
        epochs: int | None = None,
    ) -> None:
        if network not in get_args(NetworkName):
            raise ValueError(f"network={network!r}: use one of {', '.join(get_args(NetworkName))}")
        if switching_resolution is not None and network not in ("predownscale", "postpool"):
            raise ValueError(
                f"switching_resolution={switching_resolution} has no meaning for {network}; it is "
                "for predownscale and postpool"
            )
        if width is not None and width < 1:
            raise ValueError(f"width={width}: at least 1 is needed")
        if resize is not None and (resize < YU_CARD.min_size or network == "visnet"):
            raise ValueError(
                f"resize={resize} is not possible: it is at least {YU_CARD.min_size}, and visnet "
                "works at the images' own size"
            )
        if epochs is not None and epochs < 1:
            raise ValueError(f"epochs={epochs}: at least one is needed")
        self.network: NetworkName = network
        self.switching_resolution = switching_resolution
        self.width = width
        self.flip = flip
        self.resize = resize
        self.epochs = epochs
        self._device = "cpu"
        self._sources: tuple[Source, ...] = ()
        self._size = (0, 0)
        self._width = 0
        self._net: AttributorNetwork | None = None

    @property
    def _kind(self) -> str:
        return "visnet" if self.network == "visnet" else "attribution"

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Train the network on pixels; the reference images are not used.

        Raises:
            BadInput: If `switching_resolution` is no scale of these images.
        """
        from fpbench.compute.classification import train_classifier
        from fpbench.compute.device import seeded

        self._device = context.device
        self._sources = train.sources
        self._size = train.size
        self._width = self.width or _WIDTHS[self._kind][context.budget]
        with seeded(context.seed, "yu", "weights"):
            self._net = self._build()
            trained, objective = self._to_train(self._net)
        train_classifier(
            trained,
            self._plan(context.budget, len(train)),
            train.pixels,
            train.labels,
            validation=(validation.pixels, validation.labels) if len(validation) else None,
            prepare=self._prepare,
            augment=flip_at_random if self.flip else None,
            objective=objective,
            seed=context.seed,
            device=self._device,
            what=f"train yu:{self.network}",
            progress=context.progress,
        )
        return self

    def _plan(self, budget: Budget, images: int) -> TrainingPlan:
        from fpbench.compute.training_plan import TrainingPlan

        epochs = self.epochs
        if epochs is None:
            shown = _IMAGES_SHOWN[self._kind]
            full = max(1, round(shown / max(1, images)))
            epochs = full if budget == "full" else _EPOCHS[self._kind][budget]
        return TrainingPlan(
            epochs=epochs,
            batch=_BATCH,
            lr=_RATES[self._kind][budget],
            betas=(0.0, 0.99),
            schedule="cosine" if budget == "small" and self._kind == "attribution" else "constant",
            average=0.999 if self.network == "visnet" else None,
            # bfloat16 rounds R(x) by up to a quarter of a grey level: noise in the fingerprint.
            precision="fp32" if self.network == "visnet" else "auto",
        )

    def _to_train(
        self, network: AttributorNetwork
    ) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor] | None]:
        """What is trained, and its loss of inputs and labels; None for the cross-entropy."""
        return network, None

    def _build(self) -> AttributorNetwork:
        from fpbench_methods.yu.networks import AttributionNetwork, resolutions

        size = self._size if self.resize is None else (self.resize, self.resize)
        classes = len(self._sources)
        if self.network == "attribution":
            return AttributionNetwork(classes, size, self._width)
        assert self.network != "visnet"  # noqa: S101  (it builds its own)
        sides = [min(scale) for scale in resolutions(size)]
        switching = min(2, len(sides) - 1)
        if self.switching_resolution is not None:
            if self.switching_resolution not in sides:
                raise BadInput(
                    f"yu:{self.network} cannot switch at {self.switching_resolution} pixels; the "
                    f"scales of these images have {', '.join(map(str, sides))}."
                )
            switching = sides.index(self.switching_resolution)
        return AttributionNetwork(classes, size, self._width, self.network, switching)

    def _prepare(self, batch: Tensor) -> Tensor:
        from torch.nn.functional import interpolate

        from fpbench.compute.inference import signed_range

        images = signed_range(batch)
        if self.resize is None:
            return images
        return interpolate(images, size=(self.resize,) * 2, mode="bicubic", antialias=True)

    def _infer(self, images: ImageSet, member: str) -> NDArray[np.float32]:
        from fpbench.compute.inference import predict

        network = self._fitted()
        if self.resize is None and images.size != self._size:
            raise ValueError(
                f"yu was fitted on images of {self._size[0]}x{self._size[1]}, not "
                f"{images.size[0]}x{images.size[1]}"
            )
        return predict(
            network,
            images.pixels,
            prepare=self._prepare,
            forward=getattr(network, member),
            device=self._device,
        )

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Penultimate features, shape (N, max(512, K))."""
        return self._infer(images, "embed")

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Softmax of the logits, shape (N, K)."""
        return softmax(self._infer(images, "forward"))

    def _fitted(self) -> AttributorNetwork:
        if self._net is None:
            raise ValueError("yu is not fitted; call fit first")
        return self._net

    def parameter_count(self) -> int | None:
        """Parameters of the network that judges."""
        from fpbench_methods.nn.attributor import count_parameters

        return None if self._net is None else count_parameters(self._net)

    def save(self, folder: Path) -> None:
        """Write weights and parameters."""
        from fpbench_methods.nn.weights import weights_to_arrays

        facts = {
            "network": self.network,
            "switching_resolution": self.switching_resolution,
            "width": self._width,
            "flip": self.flip,
            "resize": self.resize,
            "size": list(self._size),
        }
        save_state(folder, "yu", weights_to_arrays(self._fitted()), facts, self._sources)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU."""
        from fpbench_methods.nn.weights import weights_from_arrays

        arrays, facts, sources = load_state(folder, "yu")
        height, width = facts.pop("size")
        method = cls(**facts)
        method._size = (height, width)
        method._width = facts["width"]
        method._sources = sources
        method._net = method._build()
        weights_from_arrays(method._net, arrays)
        return method


def flip_at_random(batch: Tensor) -> Tensor:
    """Mirror each image (B, C, H, W) left to right with probability one half."""
    import torch

    mirrored = torch.rand(len(batch), device=batch.device) < 0.5
    return torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
