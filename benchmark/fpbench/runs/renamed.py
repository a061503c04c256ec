"""Configurations that were published under another name: the one table of aliases.

A result keeps its key and its files. So a job of a renamed configuration is hashed under the name
that it was published with (`fpbench.runs.job.Job.key`), records that state the old name are read
as of the new one (`fpbench.runs.migrations`), and where they lie they are found
(`fpbench.runs.store`, `fpbench.leaderboard.archive.layout`). Nothing is trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMER: Mapping[tuple[str, str], tuple[str, str]] = {
    ("resnet20", "image"): ("riemann", "pixels"),
    ("resnet20", "highpass"): ("riemann", "highpass"),
    ("resnet20", "vae-residual"): ("riemann", "ablation"),
}
"""From a method and its variant to those that results of it were published under."""

_PRESENT = {former: present for present, former in FORMER.items()}

_TITLES = {"resnet20": "Baseline: a residual network on the image, or what a step leaves of it"}
"""What records say of a renamed method, whose old title was that of a paper."""


def former_name(method: str, variant: str) -> tuple[str, str]:
    """Method and variant that a configuration was first published under; its own if never else.

    >>> former_name("resnet20", "image"), former_name("prnu", "wavelet")
    (('riemann', 'pixels'), ('prnu', 'wavelet'))
    """
    return FORMER.get((method, variant), (method, variant))


def present_name(method: str, variant: str) -> tuple[str, str]:
    """Method and variant that a configuration is called today.

    >>> present_name("riemann", "pixels"), present_name("riemann", "geodesic")
    (('resnet20', 'image'), ('riemann', 'geodesic'))
    """
    return _PRESENT.get((method, variant), (method, variant))


def under_present_name(content: dict[str, Any]) -> dict[str, Any]:
    """A record of the present schema, with the names of today.

    What is no record's form is left as it is: reading it says what is wrong.
    """
    job = content.get("job")
    if not isinstance(job, dict):
        return content
    old = job.get("method"), job.get("variant")
    if not all(isinstance(part, str) for part in old) or old not in _PRESENT:
        return content
    method, variant = _PRESENT[old]
    about = content.get("method")
    told = {**about, "title": _TITLES[method]} if isinstance(about, dict) else about
    return {**content, "job": {**job, "method": method, "variant": variant}, "method": told}
