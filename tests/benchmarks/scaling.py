"""Measure what a run of `paysim_training.distributed` spends where, and fill in ``docs/scaling.md``.

``python tests/benchmarks/scaling.py`` prints the tables; with ``--page`` it writes them into the page. Needs
the extra `distributed` and an idle machine.
"""

from __future__ import annotations

import argparse
import os
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
RUNNERS = (0, 1, 2)
CORES = (1, 2, 10, 100, 10_000)
RULE = "|---|---|---|---|---|"
BANDWIDTH = 1.25e9
"""Bytes a second: a network of 10 Gbit/s."""


@dataclass(frozen=True)
class Measured:
    """What a step costs, summed over all rows.

    Attributes:
        runners: Env runners; 0: the learner plays itself.
        seconds: Of the whole run.
        playing: Seconds of an env runner's work, all env runners together.
        environment: Of those, the ones in the engine.
        learning: Seconds of the learner.
        sent: Bytes to and from the learner.
    """

    runners: int
    seconds: float
    playing: float
    environment: float
    learning: float
    sent: float


def projected(measured: Measured, cores: int, bandwidth: float = BANDWIDTH) -> dict[str, float]:
    """Seconds a step takes with this many env runners, part by part; they do not overlap in PPO.

    Args:
        measured: From one env runner.
        cores: Env runners, each on a core of its own, beside the learner's machine.
        bandwidth: Bytes a second into the learner's machine.
    """
    return {
        "playing": measured.playing / cores,
        "network": measured.sent / bandwidth,
        "learner": measured.learning,
    }


def measure(runners: int, iterations: int, num_envs: int) -> Measured:
    """Train for some iterations, after two that are not counted."""
    from paysim_training.core.config import DistributedConfig, load_config
    from paysim_training.core.task import resolve_env
    from paysim_training.rllib.algorithm import algorithm_config, timesteps_of
    from paysim_training.rllib.fleet_runner import BYTES, SECONDS

    config = load_config("two_bank", num_envs=num_envs)
    env, scenario = resolve_env(config.env)
    spread = DistributedConfig(env_runners=runners)
    algorithm = algorithm_config(config.model_copy(update={"env": env}), scenario, spread).build_algo()
    sums = dict.fromkeys(("playing", "environment", "learning", "sent"), 0.0)
    weights = len(pickle.dumps(algorithm.get_module("shared").get_state()))
    learn = algorithm.learner_group.update

    def timed(**keywords: Any) -> Any:
        began = time.perf_counter()
        result = learn(**keywords)
        sums["learning"] += time.perf_counter() - began
        return result

    algorithm.learner_group.update = timed
    try:
        for _ in range(2):
            algorithm.train()
        first = timesteps_of(algorithm)
        sums["learning"] = 0.0
        began = time.perf_counter()
        for _ in range(iterations):
            played = algorithm.train()["env_runners"]
            sums["playing"] += played[SECONDS]["all"]
            sums["environment"] += played[SECONDS]["environment"]
            sums["sent"] += played[BYTES] + runners * weights
        seconds = time.perf_counter() - began
        steps = timesteps_of(algorithm) - first
    finally:
        algorithm.stop()
    return Measured(runners, seconds / steps, **{name: value / steps for name, value in sums.items()})


def tables(found: list[Measured], load: float) -> str:
    """The measured part of the page."""
    lines = [
        "| env runners | steps/s | in the engine | in the learner | bytes a step |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        sent = f"{one.sent:,.0f}" if one.runners else "0"
        share, learner = one.environment / one.playing, one.learning / one.seconds
        lines.append(_line(one.runners, f"{1 / one.seconds:,.0f}", f"{share:.0%}", f"{learner:.0%}", sent))
    base = next(one for one in found if one.runners == 1)
    lines += ["", f"Load of the machine meanwhile: {load:.1f}.", ""]
    lines += [_line("cores that play", "steps/s", "playing", "network", "learner"), RULE]
    for cores in CORES:
        parts = projected(base, cores)
        total = sum(parts.values())
        shares = [f"{part / total:.0%}" for part in parts.values()]
        lines.append(_line(f"{cores:,}", f"{1 / total:,.0f}", *shares))
    half = base.playing / base.learning
    lines += ["", f"The learner takes half of the time from {half:,.1f} cores on."]
    return "\n".join(lines)


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def fill(page: str, measured: str) -> str:
    """The page with its measured part replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{measured}\n{END}{after}"


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description="What a run of paysim_training.distributed spends where.")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--page", action="store_true", help="write the tables into docs/scaling.md")
    given = parser.parse_args()

    import torch
    from paysim_training.core.ray_tasks import cluster

    torch.set_num_threads(2)
    load = os.getloadavg()[0]
    with cluster(processors=max(RUNNERS)):
        found = [measure(runners, given.iterations, given.num_envs) for runners in RUNNERS]
    text = tables(found, load)
    print(text)
    if given.page:
        PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
