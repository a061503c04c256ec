"""Runs the checks on one method, and hands them to pytest."""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fpbench.compute.isolation import isolated
from fpbench.conformance import evidence, globalstate, inputs, memory, outputs, secrecy, state
from fpbench.conformance.result import CheckResult, Fault, NotRun
from fpbench.conformance.subject import Subject, TookTooLong, limited
from fpbench.method import Method, MethodDeclined

LIMIT_S = 300.0
"""Most wall time of one check; one that takes longer hangs, for what it is asked."""


@dataclass(frozen=True)
class Check:
    """One thing that every method must satisfy.

    Attributes:
        name: What is written in reports.
        run: Takes the `Subject`, returns what was measured; raises `Fault` or `NotRun`.
        thorough: Whether it fits anew or takes long, and is left out of a quick pass.
    """

    name: str
    run: Callable[[Subject], str]
    thorough: bool = False

    @property
    def summary(self) -> str:
        """What must hold, in a sentence."""
        return (self.run.__doc__ or "").strip()


CHECKS = (
    Check("card", outputs.check_card),
    # Before any other check fits, so that a write to the inputs is told as what it is.
    Check("inputs-untouched", secrecy.check_inputs_untouched),
    Check("fit", outputs.check_fit),
    Check("embeddings", outputs.check_embeddings),
    Check("probabilities", outputs.check_probabilities),
    Check("bags", outputs.check_bags),
    Check("unknown-scores", outputs.check_unknown_scores),
    Check("residual", outputs.check_residual),
    Check("test-labels", secrecy.check_test_labels),
    Check("batch-size", outputs.check_batch_size),
    Check("order", outputs.check_order),
    Check("save-load", state.check_save_load),
    Check("no-pickle", state.check_no_pickle),
    Check("cancellation", inputs.check_cancellation),
    Check("seed", state.check_seed, thorough=True),
    Check("global-state", globalstate.check_global_state, thorough=True),
    Check("reference", secrecy.check_reference, thorough=True),
    Check("tiny", inputs.check_tiny, thorough=True),
    Check("odd-size", inputs.check_odd_size, thorough=True),
    Check("one-class", inputs.check_one_class, thorough=True),
    Check("memory", memory.check_memory, thorough=True),
    Check("null-control", evidence.check_null_control, thorough=True),
    Check("planted", evidence.check_planted, thorough=True),
)
"""All checks, in the order in which they run."""


def _subject(cls: type[Method], variant: str | None, params: Mapping[str, Any] | None) -> Subject:
    variant = variant or cls.card.default_variant
    if variant not in cls.card.variants:
        raise KeyError(f"{cls.card.name} has no variant {variant!r}")
    return Subject(cls.variant_class(variant), variant, dict(params or {}))


def run_check(check: Check, subject: Subject, limit_s: float = LIMIT_S) -> CheckResult:
    """Run one check; whatever the method raises ends in the result, except an interruption."""
    started = time.process_time()

    def result(status: Any, message: str) -> CheckResult:
        return CheckResult(check.name, status, message, time.process_time() - started)

    try:
        # Whatever a check leaves behind is no matter of the next.
        with limited(limit_s), isolated():
            return result("passed", check.run(subject))
    except NotRun as reason:
        return result("skipped", str(reason))
    except MethodDeclined as declined:
        return result("skipped", f"not evaluated: {declined}")
    except Fault as fault:
        return result("failed", str(fault))
    except TookTooLong:
        return result(
            "failed",
            f"no answer within {limit_s:.0f} s; make budget smoke shorter, and let every loop end.",
        )
    except SystemExit as end:
        return result(
            "failed",
            f"the method ends the process by sys.exit({end.code!r}) where an answer is due "
            f"({check.summary}) Raise an exception that says what is wrong, or MethodDeclined.",
        )
    # A plugin can raise anything; here it means that the method, not the check, went wrong.
    except Exception as error:
        return result(
            "failed",
            f"the method raises {type(error).__name__}: {error} where an answer is due "
            f"({check.summary}) Make it answer, or raise MethodDeclined in fit.",
        )


def check_method(
    cls: type[Method],
    variant: str | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    thorough: bool = True,
    report: Callable[[CheckResult], None] | None = None,
    limit_s: float = LIMIT_S,
) -> list[CheckResult]:
    """What holds of a method and what does not.

    The method is fitted with budget smoke on small made-up images whose sources plant known
    fingerprints (`fpbench.conformance.planted`).

    Args:
        cls: The method.
        variant: A variant of its card, or None for the default.
        params: Constructor arguments on top of the variant's.
        thorough: Whether to run the checks that fit anew; else they are listed as skipped.
        report: Called with each result as soon as it is there.
        limit_s: Most wall time of one check, kept where the platform has interval timers and
            this is the main thread.

    Returns:
        One result per check of `CHECKS`, in that order.

    Raises:
        KeyError: If the card has no such variant.
    """
    subject = _subject(cls, variant, params)
    results = []
    for check in CHECKS:
        if check.thorough and not thorough:
            outcome = CheckResult(check.name, "skipped", "only part of a thorough check")
        else:
            outcome = run_check(check, subject, limit_s)
        results.append(outcome)
        if report is not None:
            report(outcome)
    return results


class BoundCheck:
    """A check of one method that a test calls.

    Calling it raises AssertionError with the sentence for the author, or unittest.SkipTest,
    which pytest knows, with the reason.
    """

    def __init__(self, check: Check, subject: Subject) -> None:
        self._check = check
        self._subject = subject
        self.name = check.name
        self.thorough = check.thorough

    def __repr__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Run the check; what is no pass is raised."""
        outcome = run_check(self._check, self._subject)
        if outcome.status == "skipped":
            raise unittest.SkipTest(outcome.message)
        if outcome.status == "failed":
            raise Fault(f"{self.name}: {outcome.message}")


def checks_for(
    cls: type[Method],
    variant: str | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    thorough: bool = True,
) -> list[BoundCheck]:
    """The checks of a method for ``pytest.mark.parametrize``; they share one fit.

    Args:
        cls: The method.
        variant: A variant of its card, or None for the default.
        params: Constructor arguments on top of the variant's.
        thorough: Whether to include the checks that fit anew.

    Example::

        @pytest.mark.parametrize("check", checks_for(MyMethod), ids=repr)
        def test_conforms(check):
            check()
    """
    subject = _subject(cls, variant, params)
    return [BoundCheck(check, subject) for check in CHECKS if thorough or not check.thorough]
