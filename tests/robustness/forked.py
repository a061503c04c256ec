"""Runs fpbench in forks of a process that has imported everything, so that a start takes no time.

Reads a line ``{"words": [...], "errors": FILE}`` for each, prints its process id, and its exit
code once it has ended (the negative number of a signal that it did not catch).
"""

import json
import os
import signal
import sys

import pyarrow.parquet  # noqa: F401
import safetensors.numpy  # noqa: F401
import scipy.stats  # noqa: F401
import sklearn.linear_model  # noqa: F401
import torch  # noqa: F401

import fpbench.compute.probe
import fpbench.runs.execute  # noqa: F401
import fpbench_methods.majority
import fpbench_methods.pixels  # noqa: F401
from fpbench.__main__ import entry


def main() -> None:
    """Fork for every line of stdin, one after another."""
    while line := sys.stdin.readline():
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever began us may ignore it
            os.dup2(os.open(asked["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = ["fpbench", *asked["words"]]
            entry()
        print(pid, flush=True)  # noqa: T201
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
