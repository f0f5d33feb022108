"""What a long command is doing, and how long each step of it took, on standard error."""

from __future__ import annotations

import argparse
import sys
import time
from types import TracebackType
from typing import Self


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The option `--quiet`."""
    parser.add_argument("-q", "--quiet", action="store_true", help="do not say on standard error what is being done")


class Steps:
    """Called with each step as it begins, in words; ``seconds`` has how long those took that are over.

    A context: at its end the last step is over. With ``quiet`` nothing is printed.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._quiet = quiet
        self._current: tuple[str, float] | None = None

    def __call__(self, step: str) -> None:
        self._end()
        self._current = (step, time.perf_counter())
        # Shown before it is done: where a step takes long, that is what one wants to know.
        self._show(f"{step:<56}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end()
        elif self._current is not None:
            self._show("not done\n")

    def _end(self) -> None:
        if self._current is None:
            return
        step, started = self._current
        self.seconds[step] = round(time.perf_counter() - started, 3)
        self._show(f"{self.seconds[step]:>8.2f} s\n")
        self._current = None

    def _show(self, text: str) -> None:
        if not self._quiet:
            print(text, end="", file=sys.stderr, flush=True)
