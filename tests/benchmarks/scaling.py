"""Measures distributed training and writes the tables of ``docs/scaling.md``.

``python tests/benchmarks/scaling.py`` measures where a run of `paysim_training.distributed` spends its time;
with ``--stock`` it compares the run with RLlib's own env runner and learner instead. ``--page`` writes the
tables into the page. Needs the extra `distributed` and an idle machine.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from paysim_training.core.config import TrainConfig

    from paysim_gym import Scenario

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
RUNNERS = (0, 1, 2)
STOCK_RUNNERS = (1, 2)
STOCK_TURNS = 6
CORES = (1, 2, 10, 100, 10_000)
BANDWIDTH = 1.25e9
"""Bytes per second: a network of 10 Gbit/s."""


@dataclass(frozen=True)
class StepCost:
    """Seconds and bytes per step, a step of one row.

    Attributes:
        runners: Number of env runners; with 0 the learner's process samples.
        seconds: Wall time.
        sampling: Busy time of all env runners.
        environment: The part of `sampling` spent in the engine.
        learning: Time of the learner.
        sent: Bytes to and from the learner.
    """

    runners: int
    seconds: float
    sampling: float
    environment: float
    learning: float
    sent: float


class Speed(NamedTuple):
    """Speed of one turn.

    Attributes:
        steps_per_second: Steps of all rows per second.
        sampling: CPU microseconds per step of all env runners.
        learning: CPU microseconds per step of the learner's process.
    """

    steps_per_second: float
    sampling: float
    learning: float


class TimedAlgorithm:
    """An RLlib algorithm whose learner updates are timed."""

    def __init__(self, algorithm: Any) -> None:
        self.algorithm = algorithm
        self.learning = 0.0
        self._update = algorithm.learner_group.update
        algorithm.learner_group.update = self._timed_update

    def _timed_update(self, **keywords: Any) -> Any:
        began = time.perf_counter()
        result = self._update(**keywords)
        self.learning += time.perf_counter() - began
        return result

    def turn(self, seconds: float) -> Speed:
        """Train for at least this many seconds."""
        from paysim_training.rllib.algorithm import timesteps_of

        first, sampling, learning = timesteps_of(self.algorithm), self._sampling_time(), time.process_time()
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            self.algorithm.train()
        steps = timesteps_of(self.algorithm) - first
        sampling, learning = self._sampling_time() - sampling, time.process_time() - learning
        return Speed(steps / elapsed, sampling / steps * 1e6, learning / steps * 1e6)

    def _sampling_time(self) -> float:
        group = self.algorithm.env_runner_group
        times: list[float] = group.foreach_env_runner(lambda _: time.process_time(), local_env_runner=False)
        return sum(times)


def configuration(num_envs: int) -> tuple[TrainConfig, Scenario]:
    """The configuration `two_bank` with this many rows, and its scenario."""
    from paysim_training.core.config import load_config
    from paysim_training.core.task import resolve_env

    config = load_config("two_bank", num_envs=num_envs)
    env, scenario = resolve_env(config.env)
    return config.model_copy(update={"env": env}), scenario


def own_algorithm(runners: int, num_envs: int) -> Any:
    """The algorithm of `paysim_training.distributed`."""
    from paysim_training.core.config import DistributedConfig
    from paysim_training.rllib.algorithm import algorithm_config

    return algorithm_config(*configuration(num_envs), DistributedConfig(env_runners=runners)).build_algo()


def stock_algorithm(runners: int, num_envs: int) -> Any:
    """The same fleet, network and hyperparameters with RLlib's own env runner, connectors and learner.

    Rewards are not normalised, and learning rate and entropy coefficient are constant.
    """
    from paysim_training.core.task import constructor_arguments
    from paysim_training.rllib.algorithm import module_spec
    from ray.rllib.algorithms.ppo import PPOConfig

    from paysim_gym import PaymentVectorEnv

    config, scenario = configuration(num_envs)
    arguments = {"num_threads": 1, **constructor_arguments(config.env), "scenario": scenario}
    ppo = config.ppo
    settings = (
        PPOConfig()
        .environment("paysim_gym:PaySim/Bank-v1", env_config={**arguments, "seeding": "spread"})
        .env_runners(
            num_env_runners=runners,
            num_envs_per_env_runner=num_envs // runners,
            rollout_fragment_length=ppo.steps_per_rollout,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .rl_module(rl_module_spec=module_spec(config, PaymentVectorEnv(1, **arguments)))
        .learners(num_learners=0)
        .debugging(seed=0, log_level="ERROR")
        .training(
            lr=ppo.learning_rate,
            gamma=ppo.discount,
            lambda_=ppo.gae_lambda,
            clip_param=ppo.clip_range,
            vf_clip_param=float("inf"),
            vf_loss_coeff=ppo.value_coefficient,
            entropy_coeff=ppo.entropy_coefficient,
            use_kl_loss=False,
            grad_clip=ppo.max_gradient_norm,
            grad_clip_by="global_norm",
            num_epochs=ppo.epochs,
            minibatch_size=ppo.batch_size,
            train_batch_size_per_learner=num_envs * ppo.steps_per_rollout,
        )
    )
    return settings.build_algo()


def measure(runners: int, iterations: int, num_envs: int) -> StepCost:
    """Train for some iterations, after two warm-up iterations."""
    from paysim_training.rllib.algorithm import timesteps_of
    from paysim_training.rllib.fleet_runner import BYTES, SECONDS

    algorithm = own_algorithm(runners, num_envs)
    timed = TimedAlgorithm(algorithm)
    sums = dict.fromkeys(("sampling", "environment", "sent"), 0.0)
    weights = len(pickle.dumps(algorithm.get_module("shared").get_state()))
    try:
        for _ in range(2):
            algorithm.train()
        first, timed.learning = timesteps_of(algorithm), 0.0
        began = time.perf_counter()
        for _ in range(iterations):
            sampled = algorithm.train()["env_runners"]
            sums["sampling"] += sampled[SECONDS]["all"]
            sums["environment"] += sampled[SECONDS]["environment"]
            sums["sent"] += sampled[BYTES] + runners * weights
        seconds = time.perf_counter() - began
        steps = timesteps_of(algorithm) - first
    finally:
        algorithm.stop()
    per_step = {name: value / steps for name, value in sums.items()}
    return StepCost(runners, seconds / steps, learning=timed.learning / steps, **per_step)


def compare(runners: int, seconds: float, num_envs: int) -> dict[str, list[Speed]]:
    """Train with RLlib's classes and with ours in turns, `seconds` in total for each."""
    makers: Mapping[str, Callable[[int, int], Any]] = {"own": own_algorithm, "stock": stock_algorithm}
    timed = {name: TimedAlgorithm(make(runners, num_envs)) for name, make in makers.items()}
    found: dict[str, list[Speed]] = {name: [] for name in makers}
    try:
        for one in timed.values():
            one.algorithm.train()
        for _ in range(STOCK_TURNS):
            for name, one in timed.items():
                found[name].append(one.turn(seconds / STOCK_TURNS))
    finally:
        for one in timed.values():
            one.algorithm.stop()
    return found


def projected(measured: StepCost, cores: int, bandwidth: float = BANDWIDTH) -> dict[str, float]:
    """Projected seconds per step on many cores, by part.

    In PPO the parts do not overlap.

    Args:
        measured: Cost of a step with one env runner.
        cores: Number of env runners, each on a core of its own and on other machines than the learner.
        bandwidth: Bytes per second into the learner's machine.
    """
    return {
        "sampling": measured.sampling / cores,
        "network": measured.sent / bandwidth,
        "learner": measured.learning,
    }


def cost_tables(measured: Sequence[StepCost], load: float) -> str:
    """The tables of measured and projected costs."""
    rows = []
    for one in measured:
        sent = f"{one.sent:,.0f}" if one.runners else "0"
        shares = (one.environment / one.sampling, one.learning / one.seconds)
        rows.append(
            [str(one.runners), f"{1 / one.seconds:,.0f}", *(f"{share:.0%}" for share in shares), sent]
        )
    base = next(one for one in measured if one.runners == 1)
    projections = []
    for cores in CORES:
        parts = projected(base, cores)
        total = sum(parts.values())
        shares_of_time = [f"{part / total:.0%}" for part in parts.values()]
        projections.append([f"{cores:,}", f"{1 / total:,.0f}", *shares_of_time])
    return "\n".join(
        [
            _table(["env runners", "steps/s", "engine share", "learner share", "bytes/step"], rows),
            "",
            f"Machine load before the measurement: {load:.1f}.",
            "",
            _table(["sampling cores", "steps/s", "sampling", "network", "learner"], projections),
            "",
            f"Sampling and learning take equal time at {base.sampling / base.learning:,.1f} cores.",
        ]
    )


def comparison_table(found: Mapping[int, Mapping[str, Sequence[Speed]]], load: float) -> str:
    """The table of the comparison with RLlib's own classes: medians over turns."""
    rows = []
    for runners, speeds in found.items():
        for name, turns in speeds.items():
            rate, sampling, learning = (statistics.median(column) for column in zip(*turns, strict=True))
            ratios = [one[0] / stock[0] for one, stock in zip(turns, speeds["stock"], strict=True)]
            ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
            rows.append([str(runners), name, f"{rate:,.0f}", f"{sampling:.1f}", f"{learning:.1f}", ratio])
    titles = ["env runners", "classes", "steps/s", "CPU µs/step of env runners", "CPU µs/step of learner"]
    table = _table([*titles, "speed relative to stock"], rows)
    return f"{table}\n\nMachine load before the measurement: {load:.1f}."


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *rows))


def fill(page: str, section: str, content: str) -> str:
    """Replace the content of a marked section of the page."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> None:
    """Measure, then print the tables or write them into the page."""
    parser = argparse.ArgumentParser(description="Measure distributed training.")
    parser.add_argument("--iterations", type=int, default=20, help="iterations of each measurement")
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument(
        "--stock", action="store_true", help="compare with RLlib's own env runner and learner"
    )
    parser.add_argument("--seconds", type=float, default=60, help="seconds of each side of the comparison")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/scaling.md")
    given = parser.parse_args()

    import torch
    from paysim_training.core.ray_tasks import cluster

    torch.set_num_threads(1 if given.stock else 2)
    load = os.getloadavg()[0]
    with cluster(processors=2 * max(RUNNERS)):
        if given.stock:
            found = {runners: compare(runners, given.seconds, given.num_envs) for runners in STOCK_RUNNERS}
            section, text = "stock", comparison_table(found, load)
        else:
            costs = [measure(runners, given.iterations, given.num_envs) for runners in RUNNERS]
            section, text = "measured", cost_tables(costs, load)
    print(text)
    if given.page:
        PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), section, text), encoding="utf-8")


if __name__ == "__main__":
    main()
