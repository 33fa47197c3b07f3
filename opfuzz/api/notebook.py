"""Who hears of a run that a program makes: a cell of a notebook, a terminal, or nobody."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opfuzz.engine.carry import Audience, Nobody, StandardError
from opfuzz.engine.plan import Plan
from opfuzz.engine.progress import Progress
from opfuzz.engine.triage.minimize import Watch
from opfuzz.report.progress import LOOK_SECONDS, share_done
from opfuzz.report.run.terminal import progress_line
from opfuzz.report.text import plain


def audience_here(is_shown: bool | None) -> Audience:
    """A notebook's cell if this runs in one, else standard error; nobody where that is no terminal and none was asked
    for, or it is not to be shown."""
    if is_shown is False:
        return Nobody()
    if _is_notebook():
        return Notebook()
    return StandardError() if is_shown or sys.stderr.isatty() else Nobody()


def preformatted(text: str) -> str:
    """A text as a cell shows it, whose wide lines may be scrolled."""
    return f'<pre style="white-space:pre;overflow-x:auto">{html.escape(text)}</pre>'


def _is_notebook() -> bool:
    """Whether a kernel runs this, which shows HTML; not the IPython of a terminal."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class CellBar:
    """A bar and a line below a cell, which stay one output however often they change."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle: Any = display(self._html(0.0, "starting"), display_id=True)
        self._next = 0.0

    def show(self, share: float, line: str) -> None:
        """How much is done, from 0 to 1, and a line in words; not more often than a person can read."""
        now = time.monotonic()
        if now >= self._next:
            self._handle.update(self._html(share, line))
            self._next = now + LOOK_SECONDS

    def close(self, line: str) -> None:
        """Only the line is left."""
        from IPython.display import HTML

        self._handle.update(HTML(f"<small>{html.escape(plain(line))}</small>"))

    @staticmethod
    def _html(share: float, line: str) -> Any:
        from IPython.display import HTML

        return HTML(f'<progress value="{share:.3f}" max="1"></progress> <small>{html.escape(plain(line))}</small>')


class Notebook(Audience):
    """The output of the cell that makes a run."""

    def say(self, line: str) -> None:
        """See Audience."""
        print(plain(line), flush=True)

    @contextmanager
    def cases(self, plan: Plan) -> Iterator[Callable[[Progress], None]]:
        """See Audience."""
        cell, seen = CellBar(), list[Progress]()

        def watch(state: Progress) -> None:
            seen[:] = [state]
            cell.show(share_done(plan, state), _line(state))

        try:
            yield watch
        finally:
            cell.close("; ".join(map(_line, seen)))

    @contextmanager
    def findings(self) -> Iterator[Watch]:
        """See Audience."""
        cell, told = CellBar(), ""

        def watch(done: int, total: int) -> None:
            nonlocal told
            told = f"{done} of {total} findings made smaller"
            cell.show(done / max(total, 1), told)

        try:
            yield watch
        finally:
            cell.close(told)


def _line(state: Progress) -> str:
    """How far cases are. The worst is told at the end: to look for it takes the longer the more rows there are."""
    return progress_line(state.cases, state.ranking.faults, None, state.seconds)
