"""What a method returns: shapes, types, probabilities; and that nothing but the image matters."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from fpbench.conformance.result import Fault, NotRun
from fpbench.conformance.subject import Subject, require_equal
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import Method
from fpbench.parameters import Parameter

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def check_card(subject: Subject) -> str:
    """The card is complete, and the constructor takes what its variants set."""
    card = subject.cls.card
    if not _NAME.fullmatch(card.name):
        raise Fault(
            f"card.name is {card.name!r}; use lower-case letters, digits and hyphens, as in the "
            "entry point."
        )
    empty = [n for n in ("title", "authors", "citation", "licence", "version")
             if not str(getattr(card, n)).strip()]  # fmt: skip
    if empty:
        raise Fault(f"card.{empty[0]} is empty; boards print it, so fill it in.")
    if not card.variants:
        raise Fault("card.variants is empty; give at least one, e.g. {'default': Variant('...')}.")
    # Of a variant's own class nothing is known of the others.
    own = [name for name, variant in card.variants.items() if variant.cls is subject.cls]
    for name in own or card.variants:
        _require_parameters(subject.cls, name)
    if card.min_size < 1:
        raise Fault(f"card.min_size is {card.min_size}; it is a number of pixels, at least 1.")
    return f"{card.name} {card.version}, {len(card.variants)} variant(s)"


def _require_parameters(cls: type[Method], variant: str) -> None:
    """The constructor takes what the variant sets, and declares what it takes."""
    wanted = cls.variant_class(variant)
    if not (isinstance(wanted, type) and issubclass(wanted, Method)):
        raise Fault(f"variant {variant!r} names {wanted!r} as cls; give a subclass of Method.")
    known = wanted.declared_parameters()
    for parameter in known.values():
        if not parameter.required:
            _require_declared(parameter, parameter.default, "the default")
    for name, value in cls.card.variants[variant].params.items():
        if name not in known:
            raise Fault(
                f"variant {variant!r} sets {name!r}, which the constructor does not take; make "
                "it a keyword-only argument of __init__ (after a *) or drop it from the variant."
            )
        _require_declared(known[name], value, f"variant {variant!r}")


def _require_declared(parameter: Parameter, value: object, where: str) -> None:
    try:
        parameter.check(value)
    except BadInput as error:
        raise Fault(
            f"{where} sets {parameter.name}={value!r}, which the constructor's annotation does "
            f"not allow ({parameter.name} is {parameter.allowed}); correct the one or the other."
        ) from error


def check_fit(subject: Subject) -> str:
    """`fit` runs on labelled images, a reference and a validation set, and returns itself."""
    try:
        fitted = subject.first_fit()
    except NotRun:
        raise
    except Exception as error:
        h, w = subject.sets.train.size
        raise Fault(
            f"fit raises {type(error).__name__}: {error} on {len(subject.sets.train)} ordinary "
            f"images of {h}x{w} from {len(subject.sets.train.sources)} sources; find out why with "
            "a debugger, or raise MethodDeclined with a sentence if something is missing here."
        ) from error
    if subject.returned is not fitted:
        raise Fault(f"fit returns {type(subject.returned).__name__}; end it with `return self`.")
    return f"{len(subject.sets.train)} images of {len(subject.sets.train.sources)} sources"


def _require_array(member: str, value: Any, shape: tuple[int | None, ...], what: str) -> None:
    if not isinstance(value, np.ndarray):
        raise Fault(
            f"{member} returns {type(value).__name__}; return a NumPy array, e.g. with "
            "tensor.cpu().numpy()."
        )
    fits = value.ndim == len(shape) and all(
        wanted is None or wanted == length
        for wanted, length in zip(shape, value.shape, strict=False)
    )
    if not fits:
        text = ", ".join("D" if length is None else str(length) for length in shape)
        raise Fault(f"{member} returns shape {value.shape} for {what}; it must be ({text}).")
    if value.dtype != np.float32:
        raise Fault(f"{member} returns {value.dtype}; end it with .astype(np.float32).")
    broken = ~np.isfinite(value).reshape(len(value), -1).all(axis=1)
    if broken.any():
        raise Fault(
            f"{member} returns NaN or infinity for {int(broken.sum())} of {len(value)} images; "
            "look for a logarithm or a division of zero."
        )


def _require_probabilities(member: str, value: Any, count: int, classes: int, what: str) -> None:
    _require_array(member, value, (count, classes), f"{what} and {classes} sources")
    if (value < 0).any():
        raise Fault(f"{member} returns {value.min():.3g}; probabilities are not negative.")
    off = float(np.abs(value.sum(axis=1, dtype=np.float64) - 1).max())
    if off > 1e-3:
        raise Fault(
            f"{member} returns rows whose sum is off 1 by up to {off:.3g}; apply a softmax, or "
            "divide each row by its sum."
        )


def check_embeddings(subject: Subject) -> str:
    """`embed` gives finite float32 of shape (N, D)."""
    images = subject.sets.test.unlabelled()
    value = subject.fitted.embed(images)
    _require_array("embed", value, (len(images), None), f"{len(images)} images")
    if not value.shape[1]:
        raise Fault("embed returns no dimensions; a fingerprint needs at least one.")
    return f"{value.shape[1]} dimensions"


def check_probabilities(subject: Subject) -> str:
    """`predict_proba` gives float32 of shape (N, K), rows of probabilities."""
    fitted = subject.fitted
    if not fitted.implements("predict_proba"):
        raise NotRun("there is no predict_proba; the common probe judges the embeddings")
    images, classes = subject.sets.test.unlabelled(), len(subject.sets.train.sources)
    value = fitted.predict_proba(images)
    _require_probabilities("predict_proba", value, len(images), classes, f"{len(images)} images")
    return f"{classes} columns"


def check_bags(subject: Subject) -> str:
    """`embed_bags` and `predict_proba_bags` give one row per bag, in whatever order its images."""
    fitted, test = subject.fitted, subject.sets.test
    own = [n for n in ("embed_bags", "predict_proba_bags") if fitted.implements(n)]
    if not own:
        raise NotRun("the method judges single images; the engine makes bags of them")
    images = test.unlabelled()
    per_source = len(test) // len(test.sources)
    bags = [np.arange(per_source, dtype=np.int64), np.arange(1, 6, dtype=np.int64)]
    turned = [bag[::-1].copy() for bag in bags]
    for member in own:
        value = getattr(fitted, member)(images, bags)
        what = f"{len(bags)} bags"
        if member == "embed_bags":
            _require_array(member, value, (len(bags), None), what)
        else:
            _require_probabilities(member, value, len(bags), len(test.sources), what)
        require_equal(
            {member: value},
            {member: getattr(fitted, member)(images, turned)},
            "when the images of a bag come in another order",
            "A bag is a set: pool its images with a mean, a sum or a maximum.",
        )
    return ", ".join(own)


def check_unknown_scores(subject: Subject) -> str:
    """`unknown_score` gives finite float32 of shape (N,), not all of them equal."""
    fitted = subject.fitted
    if not fitted.implements("unknown_score"):
        raise NotRun("there is no unknown_score; open-set goes by probabilities and embeddings")
    images = subject.sets.test.unlabelled()
    value = fitted.unknown_score(images)
    _require_array("unknown_score", value, (len(images),), f"{len(images)} images")
    if np.ptp(value) == 0:
        raise Fault(
            f"unknown_score returns {value[0]:.3g} for each of {len(images)} different images; it "
            "must be higher for those that look less like the training images, or be left out."
        )
    return f"{value.min():.3g} to {value.max():.3g}"


def check_residual(subject: Subject) -> str:
    """`residual` gives finite float32 of the shape of the pixels."""
    fitted = subject.fitted
    if not fitted.implements("residual"):
        raise NotRun("there is no residual, so pictures of it are left out")
    images = subject.sets.test.unlabelled().select(np.arange(5))
    value = fitted.residual(images)
    _require_array("residual", value, images.pixels.shape, f"{len(images)} images")
    return "shape of the pixels"


def check_batch_size(subject: Subject) -> str:
    """An image's answer does not depend on how many others are shown with it."""
    images = subject.sets.test.unlabelled()
    expected = subject.known_answers()
    some = [np.arange(0, 1), np.arange(1, 8), np.arange(8, len(images))]
    parts = [subject.answers(subject.fitted, images.select(part)) for part in some]
    found = {name: np.concatenate([part[name] for part in parts]) for name in expected}
    return require_equal(
        expected,
        found,
        "when images are shown in other batches",
        "Judge each image by itself: take statistics in fit from the training images, and put "
        "networks into evaluation mode.",
    )


def check_order(subject: Subject) -> str:
    """An image's answer does not depend on its place among the others."""
    images: ImageSet = subject.sets.test.unlabelled()
    order = np.random.default_rng(1).permutation(len(images))
    shown = subject.answers(subject.fitted, images.select(order))
    found = {name: values[np.argsort(order)] for name, values in shown.items()}
    return require_equal(
        subject.known_answers(),
        found,
        "when images are shown in another order",
        "Return rows in the order of the images given, and use no position and no randomness.",
    )
