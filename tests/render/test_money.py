"""Amounts of money as texts and axis marks."""

from __future__ import annotations

import pytest

from paysim_gym.render.money import axis_label, axis_marks, exact, short


class TestMoney:
    @pytest.mark.parametrize(
        ("cents", "words"),
        [
            (0, "0"),
            (5, "0.05"),
            (-999_49, "-999.49"),
            (999_50, "1.00k"),
            (-1_234_56, "-1.23k"),
            (12_300_000_00, "12.3M"),
            (999_500_000_00, "1.00bn"),
            (10**15, "10.0tn"),
            (99_949 * 10**12, "999tn"),
            (99_951 * 10**12, "1,000tn"),
            (-(10**18), "-10,000tn"),
        ],
    )
    def test_short(self, cents: int, words: str) -> None:
        assert short(cents) == words

    def test_exact(self) -> None:
        assert [exact(cents) for cents in (0, -5, 123_456_789)] == ["0.00", "-0.05", "1,234,567.89"]

    def test_axis(self) -> None:
        marks = axis_marks(-1_300_00, 2_050_00, 6)
        assert [axis_label(mark, marks.step) for mark in marks] == ["-2k", "-1k", "0", "1k", "2k", "3k"]
        halves = axis_marks(0, 240, 6)
        labels = [axis_label(mark, halves.step) for mark in halves]
        assert labels == ["0", "0.5", "1.0", "1.5", "2.0", "2.5"]
