"""How much of a sweep is done: points and zeros in seconds of work, so that time left is honest.

How many zeros there are shows only as the rows come in. Until a setting has all of its rows it
counts with as many zeros as those that have, on average; before there is one, with one.
"""

from __future__ import annotations

from collections.abc import Iterable

from rnngrad.analyses.sweep.cost import RATES_A_ZERO, seconds_a_point, seconds_a_zero
from rnngrad.analyses.sweep.critical_scales import Zero, gaps
from rnngrad.analyses.sweep.points import Row, Setting
from rnngrad.analyses.sweep.tasks import Plan
from rnngrad.cli.progress import Report


class Work:
    """What there is to do, what is done, and the bar that shows it, if any."""

    def __init__(self, plan: Plan, rows: Iterable[Row], report: Report | None) -> None:
        self.plan, self.report = plan, report
        self.open: dict[Setting, list[Row]] = {setting: [] for setting in plan.settings}
        self.came = self.zeros = self.found = 0
        self.rates = 0
        self.done = self.to_close = self.closed_settings = 0.0
        self.open_settings = sum(map(self._a_zero, plan.settings))
        self.left = sum(len(plan.scales) * self._a_point(setting) for setting in plan.settings)
        self.left -= self._take(rows)

    def rows_came(self, rows: Iterable[Row]) -> None:
        """A task of points is done."""
        seconds = self._take(rows)
        self.done += seconds
        self.left -= seconds
        self._show(f"{self.came:,} of {self.plan.points:,} points")

    def rate_came(self) -> None:
        """One step more towards a zero, in this process."""
        self.rates = min(self.rates + 1, RATES_A_ZERO - 1)
        self._show(f"zero {self.zeros + 1} of {self.found}")

    def zero_came(self, zero: Zero) -> None:
        """A zero is closed in."""
        seconds = self._a_zero(zero.setting)
        self.done += seconds
        self.to_close -= seconds
        self.zeros, self.rates = self.zeros + 1, 0
        self._show(f"zero {self.zeros} of {self.found}")

    @property
    def fraction(self) -> float:
        """0 to 1"""
        begun = 0.0
        if self.rates:
            begun = self.to_close / (self.found - self.zeros) * self.rates / RATES_A_ZERO
        whole = self.done + self.left + self.to_close + self._to_come()
        return min(max((self.done + begun) / whole, 0.0), 1.0) if whole > 0 else 1.0

    def _to_come(self) -> float:
        """Seconds for the zeros of the settings that have not all of their rows yet."""
        if len(self.plan.scales) == 1 or not self.open:
            return 0.0
        known = self.closed_settings
        return self.open_settings * (self.to_close / known if known else 1.0)

    def _take(self, rows: Iterable[Row]) -> float:
        """Note the rows, and the gaps of a setting that has all of its own; their seconds."""
        seconds = 0.0
        for row in rows:
            setting = row.setting
            self.open[setting].append(row)
            self.came += 1
            seconds += self._a_point(setting)
            if len(self.open[setting]) == len(self.plan.scales):
                self._close(setting)
        return seconds

    def _close(self, setting: Setting) -> None:
        count = len(gaps(self.open.pop(setting)))
        self.found += count
        self.to_close += count * self._a_zero(setting)
        self.closed_settings += self._a_zero(setting)
        self.open_settings -= self._a_zero(setting)

    def _show(self, what: str) -> None:
        if self.report is not None:
            self.report(self.fraction, what)

    def _a_point(self, setting: Setting) -> float:
        return seconds_a_point(self.plan.base(setting), setting)

    def _a_zero(self, setting: Setting) -> float:
        return seconds_a_zero(self.plan.base(setting), setting)
