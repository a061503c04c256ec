"""The contract a method fulfils to stand on a board."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from fpbench.errors import BadInput, suggest
from fpbench.parameters import File as File
from fpbench.parameters import Parameter, declared
from fpbench.parameters import Range as Range

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fpbench.images import ImageSet

Budget = Literal["smoke", "small", "full"]
BUDGETS: tuple[Budget, ...] = ("smoke", "small", "full")

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)``; may be called often.

It may raise `MethodDeclined`, to end a job that is slower than its time limit: let that pass.
"""


class MethodDeclined(Exception):
    """A method cannot do this job here, and says what would let it.

    Raise it from the constructor or from `Method.fit`, e.g. when pretrained weights cannot be
    had. The job is recorded as ``declined`` with this message, not as a failure.
    """


def require_reference(reference: ImageSet, method: str) -> None:
    """Decline a dataset without real images; for a method that learns from the reference set.

    Args:
        reference: What `Method.fit` was given.
        method: What the method is called.

    Raises:
        MethodDeclined: If there are no reference images.
    """
    if len(reference) == 0:
        raise MethodDeclined(
            f"{method} learns from the reference images, and this dataset has no real images for "
            "them. Add some (a folder named real, or --real LABEL), or use a method that needs "
            "none, e.g. prnu or frank:cnn."
        )


@dataclass(frozen=True)
class Variant:
    """One named configuration of a method, written ``manifpt:freq``.

    Attributes:
        summary: One line for ``fpbench methods show``.
        params: Constructor arguments that this variant sets.
        cls: The class that this variant is, or None for that of the method. It states no card of
            its own: it is given the method's.
        deterministic: Whether its fit draws nothing at random, so that every seed gives the same
            predictions. Boards then rank a single run of it; of any other variant one run does
            not tell how much the next would differ. It is said of the variant as it stands, not
            of one with further parameters.
        remark: What boards say beside its rows, e.g. that it is none of the paper's; or empty.
    """

    summary: str
    params: Mapping[str, Any] = field(default_factory=dict)
    cls: type[Method] | None = None
    deterministic: bool = False
    remark: str = ""


@dataclass(frozen=True)
class MethodCard:
    """Who made a method and what it needs.

    Attributes:
        name: The entry-point name, lower case, e.g. ``manifpt``.
        title: Title of the paper that defines the method; what a baseline is.
        authors: Its authors.
        year: Year of publication.
        citation: A BibTeX entry.
        licence: Licence of this implementation.
        version: Raised whenever scores may change; part of a job's identity.
        variants: Name to `Variant`; the first is the default.
        unit: What one decision is made from.
        min_size: Smallest height and width in pixels that the method can take.
        faithful: Sentences: where the implementation follows the paper.
        different: Sentences: where it does not, and why.
        needs: Names of extras, packages or weights beyond fpbench itself.
        url: Where to read more.
        baseline: Whether it claims no fingerprint: a baseline or a control that boards name as
            such, without a paper.
        blind: Why not even a strong planted fingerprint can be found, for a baseline that does not
            look; empty for all others, whose conformance is checked by planting some.
    """

    name: str
    title: str
    authors: str
    year: int
    citation: str
    licence: str
    version: str
    variants: Mapping[str, Variant]
    unit: Literal["image", "bag"] = "image"
    min_size: int = 8
    faithful: Sequence[str] = ()
    different: Sequence[str] = ()
    needs: Sequence[str] = ()
    url: str = ""
    baseline: bool = False
    blind: str = ""

    @property
    def default_variant(self) -> str:
        """Name of the variant that a bare method name means."""
        return next(iter(self.variants))


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class FitContext:
    """The circumstances of one fit.

    Attributes:
        seed: Everything random in the method derives from it.
        budget: ``smoke`` (seconds), ``small`` (minutes on two cores) or ``full`` (the paper's
            training length).
        device: A torch device string, e.g. ``cpu`` or ``cuda``.
        progress: Called as ``progress(what, done, total)``.
        cache: A folder for values that other jobs on the same images may reuse, or None.
    """

    seed: int = 0
    budget: Budget = "small"
    device: str = "cpu"
    progress: Progress = _silent
    cache: Path | None = None


class Method(ABC):
    """A method that reads fingerprints of generative models.

    A subclass sets `card`, takes its parameters as keyword-only arguments of its constructor (a
    variant is a set of values for them), and implements `fit` and `embed`. The other members are
    optional. A method never sees a test image while fitting, nor a path or a dataset's name.

    The constructor's annotations say what a parameter may be: ``bool``, ``int``, ``float``,
    ``str``, ``Literal[...]``, ``X | None``, a `pathlib.Path` or ``Annotated[str, File()]`` for a
    file, ``Annotated[float, Range(0, 1)]`` for numbers in a range. They are checked before
    anything runs, and whenever an instance is made::

        def __init__(self, *, period: Annotated[int, Range(1, 64)] = 8) -> None:
            self.period = period

    Attributes:
        arguments: What an instance was made with, defaults included.
    """

    card: ClassVar[MethodCard]
    residual_names: tuple[str, str] = ("image − residual", "residual")
    """In pictures: what an image less its `residual` is, and what the residual is called.

    Set it on the class, or on the instance where a parameter decides it.
    """
    arguments: Mapping[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        card = vars(cls).get("card")
        if not isinstance(card, MethodCard):
            return
        for variant in card.variants.values():
            own = variant.cls
            if isinstance(own, type) and issubclass(own, Method) and "card" not in vars(own):
                own.card = card

    def __new__(cls, *args: Any, **params: Any) -> Self:
        """An instance, if the parameters are what the constructor declares.

        Raises:
            BadInput: If one is of another type or out of range.
        """
        if cls.__init__ is object.__init__ and (args or params):
            raise TypeError(f"{cls.__name__} takes no parameters")  # object.__init__ would not
        known = cls.declared_parameters()
        given = {name: known[name].check(value) for name, value in params.items() if name in known}
        made = super().__new__(cls)
        made.arguments = {name: about.default for name, about in known.items()} | given
        return made

    @abstractmethod
    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Learn from labelled images.

        Args:
            train: Labelled images of K sources.
            reference: Real images, disjoint from all others: those the generators were trained
                on, an estimate of the data manifold. Empty where a dataset has no real images
                (see `require_reference`).
            validation: Labelled images for choosing and stopping; none in a null control, which
                must not choose by labels that mean nothing.
            context: Seed, budget, device, progress and cache.

        Returns:
            Itself.

        Raises:
            MethodDeclined: If the method is not available here.
        """

    @abstractmethod
    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Fingerprints of images: float32 of shape (N, D), independent of order and batch."""

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Probabilities of shape (N, K), columns in the order of ``train.sources``.

        Optional: without it the common probe is trained on `embed`.
        """
        raise NotImplementedError

    def embed_bags(
        self, images: ImageSet, bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Fingerprints of bags: float32 of shape (B, D), by default the mean of `embed`.

        Args:
            images: The images that `bags` index into.
            bags: B arrays of indices, each of one bag.
        """
        import numpy as np

        embedded = self.embed(images)
        return np.stack([embedded[bag].mean(axis=0) for bag in bags]).astype(np.float32)

    def predict_proba_bags(
        self, images: ImageSet, bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Probabilities of bags, shape (B, K). Optional, for methods that judge sets.

        Without it a bag is judged by the mean of its images' log-probabilities.
        """
        raise NotImplementedError

    def unknown_score(self, images: ImageSet) -> NDArray[np.float32]:
        """How unlike all sources trained on each image is: float32 of shape (N,). Optional.

        Higher for an image that rather comes from a generator which was not trained on; only the
        order of images counts. Without it the protocol ``open-set`` goes by `predict_proba` and
        `embed` alone.
        """
        raise NotImplementedError

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """What the method looks at, for pictures: float32 of shape (N, H, W, 3). Optional."""
        raise NotImplementedError

    def parameter_count(self) -> int | None:
        """Number of learned parameters of the fitted method, for the cost table. Optional."""
        return None

    def save(self, folder: Path) -> None:
        """Write the fitted state into `folder` as safetensors and JSON, never pickle. Optional."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Optional."""
        raise NotImplementedError

    @classmethod
    def implements(cls, member: str) -> bool:
        """Whether this class overrides an optional member such as ``predict_proba``."""
        return inspect.getattr_static(cls, member) is not inspect.getattr_static(Method, member)

    @classmethod
    def declared_parameters(cls) -> dict[str, Parameter]:
        """The constructor's keyword-only arguments, by name: types, ranges and defaults."""
        return declared(cls)

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Names and defaults of the constructor's keyword-only arguments."""
        return {name: about.default for name, about in cls.declared_parameters().items()}

    @classmethod
    def file_parameters(cls) -> tuple[str, ...]:
        """Names of the parameters whose values name files, e.g. of weights."""
        return tuple(n for n, about in cls.declared_parameters().items() if about.is_file)

    @classmethod
    def read_parameters(
        cls, params: Mapping[str, Any], variant: str | None = None
    ) -> dict[str, Any]:
        """Parameters as a user or a document gives them, as JSON values of the declared types.

        What equals the variant's own value or the default is left out: setting it changes
        nothing, so it is no part of a job.

        Args:
            params: Names to texts (``"False"``, ``"1e-3"``) or JSON values.
            variant: A variant of the card, or None for the default one.

        Raises:
            BadInput: If a name is unknown, or a value of another type, out of range, infinite
                or not a number.
        """
        about = cls.card.variants[variant or cls.card.default_variant]
        known = cls.variant_class(variant).declared_parameters()
        read = {}
        for name, value in params.items():
            if name not in known:
                raise BadInput(
                    f"Method {cls.card.name!r} has no parameter {name!r}. {suggest(name, known)}"
                )
            parameter = known[name]
            try:
                found = parameter.read(value)
            except BadInput as error:
                raise BadInput(f"Method {cls.card.name!r}: {error}") from error
            usual = about.params.get(name, parameter.default)
            unset = name not in about.params and parameter.required
            if unset or not parameter.is_default(found, usual):
                read[name] = found
        return read

    @classmethod
    def variant_class(cls, variant: str | None = None) -> type[Method]:
        """The class of a variant of the card, or of the default one."""
        return cls.card.variants[variant or cls.card.default_variant].cls or cls

    @classmethod
    def make(cls, variant: str | None = None, params: Mapping[str, Any] | None = None) -> Method:
        """An unfitted method: a variant's parameters, then those of `params` on top.

        Args:
            variant: A variant of the card, or None for the default one.
            params: Further parameters, as `read_parameters` takes them.

        Raises:
            BadInput: If a parameter is of another type or out of range.
        """
        about = cls.card.variants[variant or cls.card.default_variant]
        wanted = cls.variant_class(variant)
        known = wanted.declared_parameters()
        given = {
            name: known[name].argument(value) if name in known else value
            for name, value in (params or {}).items()
        }
        return wanted(**{**about.params, **given})
