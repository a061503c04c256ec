"""``fpbench`` and ``python -m fpbench``."""

import signal


def entry() -> None:
    """Run the command line; Ctrl-C while it is still being imported ends it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fpbench.cli.main import entry as run

    run()


if __name__ == "__main__":
    entry()
