"""Features of the Inception network, as the Fréchet inception distance takes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import Budget, File, FitContext, MethodCard, Range, Variant
from fpbench_methods.bases.classifiers import Classifier, LogisticRegression
from fpbench_methods.bases.features import FeatureMethod
from fpbench_methods.bases.saved import Arrays, Facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench_methods.nn.fid_inception import FIDInception

_SIDES = {"smoke": 75, "small": 149, "full": 299}


class Inception(FeatureMethod):
    """2048 features of Inception-v3 and multinomial logistic regression.

    The features are those of what an image shows. A high score says that the sources differ in
    content.

    Args:
        weights: A file with the FID weights, or None to download them.
        side: Images are resized to `side`×`side`; None lets the budget decide.
    """

    batch = 32
    smoke_images = 8

    card: ClassVar[MethodCard] = MethodCard(
        name="inception",
        title="Rethinking the Inception Architecture for Computer Vision",
        authors="Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
        year=2016,
        citation=(
            "@inproceedings{szegedy2016rethinking,\n"
            "  title = {Rethinking the {Inception} Architecture for Computer Vision},\n"
            "  author = {Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and Shlens,"
            " Jonathon and Wojna, Zbigniew},\n"
            "  booktitle = {Conference on Computer Vision and Pattern Recognition},\n"
            "  pages = {2818--2826},\n"
            "  year = {2016}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={"fid": Variant("pool3 with the weights of the Fréchet inception distance")},
        min_size=8,
        faithful=(
            "pool3 of the TensorFlow graph of 2015-12-05: averages that leave out the border's "
            "zeros, a maximum in the last block, input resized to 299 bilinearly without a half-"
            "pixel shift and scaled by (x − 128)/128.",
        ),
        different=(
            "DSF names Inception features as a baseline and reports no number; the classifier is "
            "not known. Logistic regression here, and the common probe beside it in every record.",
            "Budgets small and smoke resize to 149 and 75 instead of 299: an image at 299 costs "
            "four times as much.",
        ),
        needs=("FID weights pt_inception-2015-12-05 (91 MiB)",),
        url="https://arxiv.org/abs/1512.00567",
    )

    def __init__(
        self,
        *,
        weights: Annotated[str | None, File()] = None,
        side: Annotated[int | None, Range(75, 2048)] = None,
    ) -> None:
        self.weights = weights
        self.side = side
        self._network: FIDInception | None = None
        self._side = 0

    def prepare(self, train: ImageSet, validation: ImageSet, context: FitContext) -> None:
        """Read the weights."""
        from fpbench_methods.nn.fid_inception import FIDInception

        self._side = self.side or _SIDES[context.budget]
        tensors = fid_weights(self.weights)
        network = FIDInception(self._side)
        found = network.net.load_state_dict(tensors, strict=False)
        missing = [key for key in found.missing_keys if not key.endswith("num_batches_tracked")]
        if missing:
            raise BadInput(
                f"{self.weights or 'The downloaded file'} does not hold the FID weights: "
                f"{missing[0]} is missing. Give the file pt_inception-2015-12-05-6726825d.pth."
            )
        self._network = network.to(context.device).eval()

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """pool3, shape (N, 2048)."""
        from fpbench.compute.inference import predict

        return predict(
            self.fitted(self._network),
            pixels,
            batch=self.batch,
            prepare=lambda batch: batch.float(),
            device=self._device,
        )

    def make_classifier(self, budget: Budget) -> Classifier:
        """Multinomial logistic regression."""
        return LogisticRegression((0.01,) if budget == "smoke" else (0.001, 0.01, 0.1, 1.0))

    def extra_facts(self) -> Facts:
        """The side that was used."""
        return {"_side": self._side}

    def extra_arrays(self) -> Arrays:
        """The network's weights."""
        from fpbench_methods.nn.weights import weights_to_arrays

        return weights_to_arrays(self.fitted(self._network), prefix="")

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """Take back the network."""
        from fpbench_methods.nn.fid_inception import FIDInception
        from fpbench_methods.nn.weights import weights_from_arrays

        self._side = facts["_side"]
        network = FIDInception(self._side)
        weights_from_arrays(network, arrays, prefix="")
        self._network = network


def fid_weights(file: str | None) -> dict[str, Any]:
    """The tensors of the FID network, from a file or from where they are published.

    Raises:
        MethodDeclined: If they are not available.
        BadInput: If the file holds no weights.
    """
    from fpbench_methods.nn.fid_inception import ADDRESS, DIGEST
    from fpbench_methods.nn.hub import url_file
    from fpbench_methods.nn.pretrained import declined, read_weights

    if file is not None:
        return dict(read_weights(Path(file)))
    try:
        path = url_file(ADDRESS, DIGEST)
    except OSError as error:
        command = f"curl --location --output FILE {ADDRESS}"
        raise declined("the FID Inception network", error, command) from error
    return dict(read_weights(path))
