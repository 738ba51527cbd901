"""A few seconds of what tests/benchmarks/service_load.py does in a minute."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.service_load import measure_service


@pytest.mark.parametrize("is_stored", [False, True])
def test_no_tick_is_lost_or_doubled_under_load(tmp_path: Path, is_stored: bool) -> None:
    load = measure_service(20, 10, 2, *(("--store", str(tmp_path)) if is_stored else ()))
    assert set(load.statuses) == {200}
    assert max(map(len, load.ticks.values())) > 10
