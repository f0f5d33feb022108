"""The demo's steps as progress bars, and how long each one took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quickthorn.extras import require

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Advance = Callable[[int], None]


class Steps:
    """Runs one step after the other under a progress display; `seconds` holds the time each took, by name."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, shown: str, total: int | None = None) -> Iterator[Advance]:
        """Show `shown` while the block runs. With a `total` the block calls what it is given with each advance."""
        task = self._progress.add_task(shown, total=total)
        started = time.perf_counter()
        yield lambda units: self._progress.update(task, advance=units)
        self.seconds[name] = round(time.perf_counter() - started, 3)
        # A step of unknown length shows a moving bar until it is done, then a full one.
        self._progress.update(task, total=total or 1, completed=total or 1)
        self._progress.stop_task(task)


@contextmanager
def steps_on(console: Console | None) -> Iterator[Steps]:
    """Progress bars on `console`, or on standard output."""
    rich = require("rich.progress", "demo", "the demo's progress bars")
    columns = (
        rich.TextColumn("{task.description:<32}"),
        rich.BarColumn(bar_width=28),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.elapsed:6.1f} s"),
    )
    with rich.Progress(*columns, console=console) as progress:
        yield Steps(progress)
