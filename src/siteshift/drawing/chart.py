"""Plots as inline SVG, drawn here so that a report needs nothing but itself.

Colours are CSS classes (``s0``, ``s1``, …), so one drawing serves the light and the dark theme. All plots of a report
share one time axis and one width; they can be read one below the other.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

WIDTH = 1_080
LEFT = 62
RIGHT = 18
TOP = 14
BOTTOM = 40
GAP_S = 2.5
"""A line is not drawn across a longer silence."""
GLYPH = 6.6
"""Mean width of a character of the 12 px font, in px; used to keep labels apart."""


class Stroke(StrEnum):
    """How a line is drawn."""

    SOLID = "solid"
    DASHED = "dashed"
    DOTTED = "dotted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: ``points`` are (seconds, value). ``steps``: the value holds until the next point."""

    label: str
    css: str
    points: Sequence[tuple[float, float]]
    stroke: Stroke = Stroke.SOLID
    steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One layer of stacked bars."""

    label: str
    css: str
    points: Sequence[tuple[float, float]]
    width_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line at an instant."""

    at_s: float
    css: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A horizontal line with its meaning written on it, at the left or (``anchor`` end) at the right."""

    value: float
    label: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What the plots of one report share, and the value axis of one plot.

    Instants are seconds; the time axis is labelled in ``tick_s`` (60: minutes) and called ``time_label``. A line is not
    drawn across a silence longer than ``gap_s``.
    """

    from_s: float
    until_s: float
    top: float
    unit: str
    marks: Sequence[Mark] = ()
    height: int = 250
    digits: int = 0
    tick_s: float = 1
    time_label: str = "seconds after the fault"
    gap_s: float = GAP_S

    def x(self, at_s: float) -> float:
        span = max(0.001, self.until_s - self.from_s)
        return LEFT + (at_s - self.from_s) / span * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - value / self.top) * (self.height - TOP - BOTTOM)

    def holds(self, at_s: float) -> bool:
        return self.from_s <= at_s <= self.until_s


def nice_step(span: float, wanted: int) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides ``span`` into about ``wanted`` parts."""
    raw = max(span, 1e-9) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if raw <= factor * power * 1.0001)


def nice_top(value: float, wanted: int = 5) -> float:
    """The end of a value axis that begins at 0 and shows ``value``."""
    step = nice_step(max(value, 1.0), wanted)
    return math.ceil(value / step - 1e-9) * step or step


def plot_lines(axes: Axes, series: Sequence[Series], limits: Sequence[Limit] = ()) -> str:
    """A plot of lines."""
    parts = [_frame(axes)]
    parts += [_limit(axes, limit) for limit in limits]
    parts += [_line(axes, entry) for entry in series]
    return _svg(axes, parts)


def plot_bars(axes: Axes, layers: Sequence[Bars]) -> str:
    """A plot of stacked bars: the first layer is at the bottom."""
    parts = [_frame(axes)]
    base: dict[float, float] = {}
    for layer in layers:
        width = max(1.0, axes.x(axes.from_s + layer.width_s) - axes.x(axes.from_s) - 0.3)
        path = []
        for at_s, value in layer.points:
            if value <= 0 or not axes.holds(at_s):
                continue
            low = base.get(at_s, 0.0)
            base[at_s] = low + value
            path.append(f"M{axes.x(at_s):.1f} {axes.y(low):.1f}h{width:.1f}V{axes.y(low + value):.1f}h{-width:.1f}z")
        parts.append(f'<path class="bar {layer.css}" d="{"".join(path)}"/>')
    return _svg(axes, parts)


def plot_events(axes: Axes, events: Sequence[Mark]) -> str:
    """Instants with their labels, in as many rows as keep the labels apart."""
    rows: list[float] = []
    placed: list[tuple[Mark, int, str]] = []
    for event in sorted((e for e in events if axes.holds(e.at_s)), key=lambda event: event.at_s):
        x, width = axes.x(event.at_s), len(event.label) * GLYPH + 16
        flips = x + width > WIDTH - 4
        start = x - width if flips else x
        row = next((number for number, end in enumerate(rows) if end < start), len(rows))
        if row == len(rows):
            rows.append(0.0)
        rows[row] = max(x, start + width)
        placed.append((event, row, "end" if flips else "start"))
    height = TOP + max(1, len(rows)) * 22 + BOTTOM
    tall = replace(axes, top=1, unit="", height=height, marks=())
    parts = [_time_axis(tall)]
    for event, row, anchor in placed:
        x, y = axes.x(event.at_s), TOP + row * 22 + 10
        shift, label = 9 if anchor == "start" else -9, html.escape(event.label)
        parts.append(
            f'<line class="mark {event.css}" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{height - BOTTOM}"/>'
            f'<circle class="dot {event.css}" cx="{x:.1f}" cy="{y}" r="4.5"/>'
            f'<text class="tag" x="{x + shift:.1f}" y="{y + 4}" text-anchor="{anchor}">{label}</text>'
        )
    return _svg(tall, parts)


def _svg(axes: Axes, parts: Sequence[str]) -> str:
    span = f'data-from="{axes.from_s}" data-until="{axes.until_s}"'
    return (
        f'<svg viewBox="0 0 {WIDTH} {axes.height}" role="img" class="plot" {span} '
        f'data-left="{LEFT}" data-right="{WIDTH - RIGHT}">{"".join(parts)}</svg>'
    )


def _frame(axes: Axes) -> str:
    step = nice_step(axes.top, 5)
    parts = []
    for number in range(int(axes.top / step + 1.001)):
        value = number * step
        y = axes.y(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.{axes.digits}f}</text>'
        )
    middle = (TOP + axes.height - BOTTOM) / 2
    parts.append(
        f'<text class="unit" transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(axes.unit)}</text>"
    )
    for mark in axes.marks:
        if axes.holds(mark.at_s):
            x = axes.x(mark.at_s)
            parts.append(f'<line class="mark {mark.css}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{axes.height - BOTTOM}"/>')
    return "".join(parts) + _time_axis(axes)


def _time_axis(axes: Axes) -> str:
    step = nice_step((axes.until_s - axes.from_s) / axes.tick_s, 12)
    bottom = axes.height - BOTTOM
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    digits = 0 if step >= 1 else 1
    number = math.ceil(axes.from_s / axes.tick_s / step - 1e-9)
    while number * step <= axes.until_s / axes.tick_s + 1e-9:
        x = axes.x(number * step * axes.tick_s)
        parts.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
            f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{number * step:.{digits}f}</text>'
        )
        number += 1
    parts.append(
        f'<text class="unit" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{axes.height - 5}" text-anchor="middle">'
        f"{html.escape(axes.time_label)}</text>"
    )
    return "".join(parts)


def _line(axes: Axes, series: Series) -> str:
    inside = [(at_s, value) for at_s, value in series.points if axes.holds(at_s)]
    before = [point for point in series.points if point[0] < axes.from_s]
    if series.steps and before:
        inside.insert(0, (axes.from_s, before[-1][1]))
    if not inside:
        return ""
    commands = []
    last_s = -math.inf
    for at_s, value in inside:
        x, y = axes.x(at_s), axes.y(min(value, axes.top))
        gap, last_s = at_s - last_s, at_s
        if gap == math.inf or (gap > axes.gap_s and not series.steps):
            commands.append(f"M{x:.1f} {y:.1f}")
        else:
            commands.append(f"H{x:.1f}V{y:.1f}" if series.steps else f"L{x:.1f} {y:.1f}")
    if series.steps:
        commands.append(f"H{axes.x(axes.until_s):.1f}")
    return f'<path class="line {series.css} {series.stroke}" d="{"".join(commands)}"/>'


def _limit(axes: Axes, limit: Limit) -> str:
    y = axes.y(limit.value)
    x = LEFT + 6 if limit.anchor == "start" else WIDTH - RIGHT - 6
    label = html.escape(limit.label)
    return (
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="limit-tag" x="{x}" y="{y - 5:.1f}" text-anchor="{limit.anchor}">{label}</text>'
    )
