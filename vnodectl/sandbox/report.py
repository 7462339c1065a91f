"""Steps with their time: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_PLAIN_PERCENT = 5
_PLAIN_SECONDS = 20.0
_NOTE_LENGTH = 50


class Step:
    """One piece of work under way. Call `progress` and `note` as often as you like: output is thinned."""

    def __init__(self, reporter: Reporter, title: str) -> None:
        self.title = title
        self._reporter = reporter
        self._task: TaskID | None = None
        self._started = reporter.clock()
        self._last_percent = 0
        self._last_time = self._started
        self._note = ""

    @property
    def seconds(self) -> float:
        return self._reporter.clock() - self._started

    def note(self, text: str) -> None:
        """What is being done now, in a few words."""
        if text != self._note:
            self._note = text[:_NOTE_LENGTH]
            self._reporter._update(self, None, None)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """How far it is. A total of 0 means that it is not known."""
        self._note = note[:_NOTE_LENGTH] or self._note
        self._reporter._update(self, done, total)

    def _plain(self, done: int | None, total: int | None) -> str:
        """The line to print now where there is no terminal, or "" if the last one is fresh enough."""
        now = self._reporter.clock()
        percent = 100 * done // total if done is not None and total else 0
        if percent < self._last_percent + _PLAIN_PERCENT and now - self._last_time < _PLAIN_SECONDS:
            return ""
        self._last_percent, self._last_time = max(percent, self._last_percent), now
        parts = [f"{percent} %" if total else "", self._note, f"{self.seconds:.0f} s"]
        return f"  {self.title}: {', '.join(part for part in parts if part)}"


class Reporter:
    """Writes to standard error: what it says is for people. `clock` gives seconds.

    `quiet` keeps only what `say` is told to print.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        quiet: bool = False,
    ) -> None:
        from rich.console import Console

        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.clock = clock
        self._quiet = quiet
        self._live: Progress | None = None
        self._running = 0

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Announce, time and close a piece of work; an error closes it as failed and goes on up."""
        step = Step(self, title)
        self._begin(step)
        mark = "✗"
        try:
            yield step
            mark = "✓"
        finally:
            self._end(step)
            if not self._quiet or mark == "✗":
                self.say(f"{mark} {title} ({step.seconds:.1f} s)")

    def _begin(self, step: Step) -> None:
        if self._quiet:
            return
        if not self.console.is_terminal:
            self.say(f"… {step.title}")
            return
        if self._live is None:
            from rich.progress import (
                BarColumn,
                Progress,
                SpinnerColumn,
                TaskProgressColumn,
                TextColumn,
                TimeElapsedColumn,
            )

            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self.console,
                transient=True,
            )
            self._live.start()
        self._running += 1
        step._task = self._live.add_task(step.title, total=None, note="")

    def _update(self, step: Step, done: int | None, total: int | None) -> None:
        if self._quiet:
            return
        if self._live is not None and step._task is not None:
            self._live.update(step._task, completed=done, total=total or None, note=step._note)
        elif not self.console.is_terminal and (line := step._plain(done, total)):
            self.say(line)

    def _end(self, step: Step) -> None:
        if self._live is None or step._task is None:
            return
        self._live.remove_task(step._task)
        self._running -= 1
        if self._running == 0:
            self._live.stop()
            self._live = None
