"""Pictures along the axis of time: marks and lines in SVG, wide as the page is, for places are percent of the width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from markupsafe import Markup

from opfuzz.report.history.axis import Axis, Turn
from opfuzz.report.text import plain
from opfuzz.store.lives import Night

LABEL, LANE = 6.3, 15  # pixels: of a character of a label, and between labels that would touch
NARROWEST = 520  # pixels of a picture whose labels are shown
LONGEST = 44  # characters of a label; the table beside the picture has all of them
TICK_HEIGHT = 18
# The marks, drawn around 0.
SHAPES = {
    "met": "M-4 0A4 4 0 1 1 4 0 4 4 0 1 1-4 0z",
    "regression": "M0-7 7 0 0 7-7 0z",
    "undecided": "M0-7 7 6H-7z",
    "discovered": "M-5-5H5V5H-5z",
    "fixed": "M-6 0-2 5 6-6",
    "renamed": "M-4-5 2 0-4 5M3-5V5",
    "cut": "M-4-4 4 4M-4 4 4-4",
    "fault": "M0-5 5 0 0 5-5 0z",
    "note": "M0-5 5 4H-5z",
    "clean": "M-3 0A3 3 0 1 1 3 0 3 3 0 1 1-3 0z",
    "unsized": "M-4-4 4 4M-4 4 4-4",
}

# What the shapes mean, as the page says it.
KEY = {
    "met": "met in this run",
    "regression": "came as a regression",
    "undecided": "came with other software, not known whether by it",
    "discovered": "discovered: it was there all along",
    "fixed": "found fixed",
    "renamed": "told by another name from here on",
    "cut": "interrupted run",
}


def key(shape: str) -> Markup:
    """A shape beside its meaning."""
    return Markup(
        '<svg class="key" width="16" height="16" aria-hidden="true">'
        '<svg x="8" y="8"><path class="k {}" d="{}"/></svg></svg>'
    ).format(shape, SHAPES[shape])


def picture(height: float | str, label: str, parts: Iterable[Markup]) -> Markup:
    """All parts in one picture, `height` pixels high or a share of what holds it, which is told as `label`."""
    return Markup('<svg class="strip" width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        _length(height), plain(label), Markup("").join(parts)
    )


def mark(shape: str, x: float, y: float | str, told: str, kind: str = "") -> Markup:
    """A mark of SHAPES at x percent, and what it stands for; `kind`: another class than the shape's.

    `y` is in pixels, or a share of the picture's height.
    """
    return Markup('<svg x="{:.2f}%" y="{}"><path class="k {}" d="{}"><title>{}</title></path></svg>').format(
        x, _length(y), kind or shape, SHAPES[shape], plain(told)
    )


def line(start: tuple[float, float | str], end: tuple[float, float | str], kind: str) -> Markup:
    """From one place to another, as marks have theirs."""
    (x1, y1), (x2, y2) = start, end
    return Markup('<line class="{}" x1="{:.2f}%" y1="{}" x2="{:.2f}%" y2="{}"/>').format(
        kind, x1, _length(y1), x2, _length(y2)
    )


def _length(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}"


def stretches(axis: Axis, times: Sequence[float]) -> list[tuple[float, float]]:
    """The first and last of times, in order, between which no run is missing."""
    found: list[tuple[float, float]] = []
    for at in times:
        if found and not axis.is_gap(found[-1][1], at):
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def ground(axis: Axis, nights: Sequence[Night], turned: Sequence[Turn]) -> Markup:
    """What lies behind every picture: where runs are missing, and where the software changed."""
    strokes = [line((axis.x(each.night.at), 0), (axis.x(each.night.at), "100%"), "turn") for each in turned]
    return Markup("").join([*_gaps(axis, nights, 0, "100%"), *strokes])


def _gaps(axis: Axis, nights: Sequence[Night], top: float, height: float | str) -> list[Markup]:
    return [
        Markup('<rect class="gap" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{}"/>').format(
            axis.x(then.at), top, axis.x(now.at) - axis.x(then.at), _length(height)
        )
        for then, now in pairwise(nights)
        if axis.is_gap(then.at, now.at)
    ]


def ruler(axis: Axis, nights: Sequence[Night], turned: Sequence[Turn]) -> Markup:
    """The axis: a stroke for each run, a cross for one that was interrupted, round times, and a number for each change.

    The words of the changes stand in lanes above it, where there is room for them.
    """
    lanes, words = _lanes(axis, turned)
    top = lanes * LANE + 4.0
    bottom = top + 12
    parts = [*_gaps(axis, nights, bottom, TICK_HEIGHT), *words]
    for night in nights:
        x = axis.x(night.at)
        told = f"{night.run}, seed {night.seed}"
        parts.append(line((x, bottom - 8), (x, bottom), "run"))
        if night.interrupted:
            parts.append(mark("cut", x, bottom - 4, f"{told}, interrupted"))
    parts.append(line((0, bottom), (100, bottom), "rule"))
    for x, name in axis.ticks():
        anchor = "start" if x < 6 else "end" if x > 94 else "middle"
        parts.append(line((x, bottom), (x, bottom + 4), "rule"))
        parts.append(_text(x, bottom + 15, anchor, name, "tick"))
    changes = "; ".join(f"{axis.when(turn.night.at)}: {turn.words}" for turn in turned)
    label = (
        f"{len(nights)} runs from {axis.when(axis.first)} to {axis.when(axis.last)}; {changes or 'no version changed'}"
    )
    return picture(bottom + TICK_HEIGHT, label, parts)


def _lanes(axis: Axis, turned: Sequence[Turn]) -> tuple[int, list[Markup]]:
    """How many lanes the words of changes take, and the words, each with a stroke down to the axis.

    In the left half words go to the right, and the last ones take the lowest lane; in the right half it is the other
    way, so that strokes keep clear of words.
    """
    taken: list[list[tuple[float, float]]] = []  # spans in percent, lane by lane, from below
    placed = []
    numbered = [(number, axis.x(turn.night.at), turn) for number, turn in enumerate(turned, 1)]
    for number, x, turn in sorted(numbered, key=lambda each: (each[1] > 50, each[1] if each[1] > 50 else -each[1])):
        text = cut_label(f"{number} {turn.words}")
        width = 100 * (len(text) * LABEL + 12) / NARROWEST
        span = (x, x + width) if x <= 50 else (x - width, x)
        lane = next((at for at, others in enumerate(taken) if all(_apart(span, o) for o in others)), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append(span)
        placed.append((number, x, lane, text))
    strokes, words = [], []
    for number, x, lane, text in placed:
        y = (len(taken) - lane) * LANE - 3.0
        anchor, shift = ("start", 4) if x <= 50 else ("end", -4)
        strokes.append(line((x, y - 9), (x, len(taken) * LANE + 16), "turn"))
        whole = Markup('<text class="told" x="{}" text-anchor="{}">{}</text>').format(shift, anchor, plain(text))
        short = Markup('<text class="number" x="{}" text-anchor="{}">{}</text>').format(shift, anchor, number)
        words.append(Markup('<svg x="{:.2f}%" y="{:.1f}">{}{}</svg>').format(x, y, whole, short))
    return len(taken), [*strokes, *words]


def _apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]


def cut_label(text: str) -> str:
    """Words that fit a label."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _text(x: float, y: float, anchor: str, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.2f}%" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, plain(text)
    )
