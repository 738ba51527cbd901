"""RLlib's current API stack: the native fleet, and several learners in one system."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AutoresetMode
from same import assert_same

from paysim_gym import PaymentEnv, PaymentVectorEnv, ScenarioError, load_scenario
from paysim_gym.envs.infos import COST_KEYS, episode_columns, episode_totals, row_infos

ray = pytest.importorskip("ray")

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.pre_checks.env import check_multiagent_environments

from paysim_gym.envs.parallel import PaymentParallelEnv
from paysim_gym.envs.rllib import PARALLEL_ID, PaymentMultiAgentEnv, register_with_ray

# Every multi-agent env runner of a process registers this name again.
pytestmark = pytest.mark.filterwarnings("ignore:.*Overriding environment rllib-multi-agent:UserWarning")

LEARNERS = ["CORE_A", "SMALL_D", "CORE_B"]
ROWS, TICKS, SEED = 4, 48, 7
# No usage reports, and workers in this environment instead of new ones by `uv run`.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
PAGE = Path(__file__).parents[2] / "docs" / "rllib.md"


def native(seeding: str = "spread", **settings: Any) -> Any:
    """A configuration whose env runners step a fleet of two_bank."""
    return (
        PPOConfig()
        .environment(
            "paysim_gym:PaySim/Bank-v1", env_config={"scenario": "two_bank", "seeding": seeding, **settings}
        )
        .env_runners(
            num_env_runners=0, num_envs_per_env_runner=ROWS, gym_env_vectorize_mode="vector_entry_point"
        )
        .debugging(seed=SEED)
    )


def parallel(policies: set[str], **env_config: Any) -> Any:
    """A configuration of three learners in five_bank, with their own or a shared policy."""
    return (
        PPOConfig()
        .environment(
            PaymentMultiAgentEnv, env_config={"scenario": "five_bank", "learners": LEARNERS, **env_config}
        )
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2)
        .multi_agent(
            policies=policies,
            policy_mapping_fn=lambda agent, *_, **__: agent if agent in policies else "shared",
        )
        .debugging(seed=SEED)
    )


def first_observations(runner: Any, hold: Any) -> set[bytes]:
    """Observations of an env runner's environments after twelve ticks."""
    runner.sample(num_timesteps=0, random_actions=True)  # resets
    for _ in range(12):
        observations = runner.env.step(hold)[0]
    return {seen["CORE_A"].tobytes() if isinstance(seen, dict) else seen.tobytes() for seen in observations}


@pytest.mark.parametrize("env_config", ["five_bank", PaymentEnv(), [LEARNERS]], ids=["str", "env", "list"])
def test_other_things_than_arguments_are_refused(env_config: Any) -> None:
    with pytest.raises(TypeError, match=r"^env_config = \w+: must be a mapping of arguments"):
        PaymentMultiAgentEnv(env_config)


class TestNativeFleet:
    def test_an_env_runner_steps_a_fleet_with_the_settings_given(self) -> None:
        runner = SingleAgentEnvRunner(config=native(scenario="five_bank", learner="CORE_B", slots=3))
        fleet = runner.env.unwrapped
        assert type(fleet) is PaymentVectorEnv
        assert (fleet.num_envs, fleet.learner, fleet.settings.slots) == (ROWS, "CORE_B", 3)
        assert fleet.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP

    def test_a_scenario_may_be_a_mapping_or_an_object(self, small_scenario: dict[str, Any]) -> None:
        for scenario in (small_scenario, load_scenario(small_scenario)):
            runner = SingleAgentEnvRunner(config=native(scenario=scenario))
            assert runner.env.unwrapped.scenario == load_scenario(small_scenario)

    def test_it_equals_the_fleet(self) -> None:
        adapter, fleet = SingleAgentEnvRunner(config=native()).env, PaymentVectorEnv(ROWS, seeding="spread")
        ours, theirs = adapter.reset(seed=SEED), cast("Any", fleet.reset(seed=SEED))
        assert_same(ours[0], theirs[0])
        for actions in np.random.default_rng(1).integers(4, size=(3 * TICKS, ROWS, 8)):
            for row, info in enumerate(ours[-1]):
                assert info["action_mask"].tobytes() == theirs[-1]["action_mask"][row].tobytes()
                for key in COST_KEYS:
                    assert info[key] == theirs[-1][key][row]
            ours, theirs = adapter.step(actions), fleet.step(actions)
            assert_same(ours[:4], theirs[:4])

    def test_the_episodes_it_records_are_those_of_single_environments(self) -> None:
        """Detects ignored actions and reset observations that are recorded as steps."""
        runner = SingleAgentEnvRunner(config=native(seeding="consecutive"))
        episodes = runner.sample(num_timesteps=2 * ROWS * TICKS, random_actions=True)
        assert len(episodes) == 2 * ROWS
        for number, episode in enumerate(episodes):
            env = PaymentEnv()
            seen, info = env.reset(seed=SEED + number % ROWS)
            if number >= ROWS:
                seen, info = env.reset()
            observations, rewards, infos = [seen], [], [info]
            for action in episode.get_actions():
                seen, reward, is_over, _, info = env.step(action)
                observations.append(seen)
                rewards.append(reward)
                infos.append(info)
            assert is_over
            assert episode.is_terminated
            assert len(episode) == TICKS
            assert np.array_equal(episode.get_observations(), observations)
            assert np.array_equal(episode.get_rewards(), rewards)
            masks = [info["action_mask"] for info in episode.get_infos()]
            assert np.array_equal(masks, [np.concatenate(info["action_mask"]) for info in infos])
            assert episode_totals(episode.get_infos(-1)) == episode_totals(infos[-1])

    @pytest.mark.parametrize("seeding", ["spread", "consecutive"])
    def test_env_runners_play_different_days_if_seeds_are_spread(self, seeding: str) -> None:
        """If RLlib ever seeds without overlap, docs/rllib.md no longer needs `spread`."""
        config, hold = native(seeding), np.zeros((ROWS, 8), np.int64)
        one, two = (
            first_observations(SingleAgentEnvRunner(config=config, worker_index=i), hold) for i in (1, 2)
        )
        assert len(one) == len(two) == ROWS
        assert len(one & two) == (0 if seeding == "spread" else ROWS - 1)


class TestSeveralLearners:
    def test_rllibs_own_check_passes_without_a_complaint(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            check_multiagent_environments(
                PaymentMultiAgentEnv({"scenario": "five_bank", "learners": LEARNERS})
            )
        assert not caplog.records

    def test_it_equals_the_fleet_and_pettingzoos_view(self) -> None:
        settings: dict[str, Any] = {"slots": 5, "reward": "blend"}
        adapter = PaymentMultiAgentEnv({"learners": LEARNERS, **settings})
        view = PaymentParallelEnv("five_bank", LEARNERS, **settings)
        fleet = PaymentVectorEnv(3, "five_bank", LEARNERS, autoreset_mode="Disabled", **settings)
        ours: Any = adapter.reset(seed=SEED)
        assert_same(ours, view.reset(seed=SEED))
        assert_same([*ours[0].values()], [*fleet.reset(seed=[SEED] * 3)[0]])
        for actions in np.random.default_rng(1).integers(4, size=(3 * TICKS, 3, 5)):
            by_agent = dict(zip(LEARNERS, actions, strict=True))
            observations, rewards, terminated, truncated, infos = adapter.step(by_agent)
            ours = cast("Any", (observations, rewards, terminated, truncated))
            ends = [terminated.pop("__all__"), truncated.pop("__all__")]
            assert_same((*ours, infos), view.step(by_agent))
            result = fleet.step_rows(actions)
            for part, rows in zip(ours, result[:4], strict=True):
                assert np.array_equal([*part.values()], np.asarray(rows))
            columns = {**result.infos, **episode_columns(fleet.totals())}
            assert_same([*infos.values()], row_infos(columns, fleet.mask_format))
            assert ends == [result.terminated.all(), result.truncated.all()]
            if any(ends):
                ours = adapter.reset()
                assert_same(ours, view.reset())
                assert_same([*ours[0].values()], [*fleet.reset()[0]])

    @pytest.mark.parametrize(("limit", "ends"), [(None, (True, False)), (5, (False, True))])
    def test_all_banks_end_together(self, limit: int | None, ends: tuple[bool, bool]) -> None:
        adapter = PaymentMultiAgentEnv(
            {"scenario": "five_bank", "learners": LEARNERS, "max_episode_steps": limit}
        )
        adapter.reset(seed=0)
        for step in range(limit or TICKS):
            *_, terminated, truncated, _ = adapter.step(dict.fromkeys(LEARNERS, np.zeros(8, np.int64)))
            is_last = step == (limit or TICKS) - 1
            assert terminated == dict.fromkeys([*LEARNERS, "__all__"], is_last and ends[0])
            assert truncated == dict.fromkeys([*LEARNERS, "__all__"], is_last and ends[1])
        assert adapter.agents == adapter.possible_agents == LEARNERS

    def test_env_runners_play_different_days(self) -> None:
        config, hold = parallel({"shared"}), [dict.fromkeys(LEARNERS, np.zeros(8, np.int64))] * 2
        one, two = (
            first_observations(MultiAgentEnvRunner(config=config, worker_index=i), hold) for i in (1, 2)
        )
        assert len(one) == len(two) == 2
        assert not one & two

    def test_a_seed_means_what_it_means_elsewhere_unless_the_env_runner_is_remote(self) -> None:
        config: dict[str, Any] = {"scenario": "five_bank", "learners": LEARNERS}
        expected, _ = PaymentParallelEnv(**config).reset(seed=SEED)
        for env_config in (config, EnvContext(config, worker_index=0), EnvContext(config, worker_index=None)):
            assert_same(PaymentMultiAgentEnv(env_config).reset(seed=SEED)[0], expected)
        remote = PaymentMultiAgentEnv(EnvContext(config, worker_index=1))
        assert not np.array_equal(remote.reset(seed=SEED)[0]["CORE_A"], expected["CORE_A"])
        again = remote.reset(seed=SEED)
        remote.reset()
        assert_same(remote.reset(seed=SEED), again)

    def test_what_is_wrong_is_named_as_elsewhere(self) -> None:
        with pytest.raises(ScenarioError, match="five_banks"):
            PaymentMultiAgentEnv({"scenario": "five_banks"})
        with pytest.raises(ValueError, match=r"^slots = 0"):
            PaymentMultiAgentEnv({"learners": LEARNERS, "slots": 0})


@pytest.fixture(scope="class")
def cluster() -> Iterator[None]:
    """Ray on this machine only."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        ray.init("local", num_cpus=1, include_dashboard=False, configure_logging=False)
        register_with_ray()
        yield
        ray.shutdown()


@pytest.mark.usefixtures("cluster")
class TestPPO:
    def test_each_bank_learns_a_policy_of_its_own(self) -> None:
        config = (
            parallel(set(LEARNERS), slots=2)
            .environment(PARALLEL_ID)
            .training(train_batch_size_per_learner=2 * TICKS, minibatch_size=TICKS, num_epochs=1)
        )
        algorithm = config.build_algo()
        before = {bank: algorithm.get_module(bank).get_state() for bank in LEARNERS}
        result = algorithm.train()["env_runners"]
        returns = result["agent_episode_returns_mean"]
        assert set(returns) == set(result["module_episode_returns_mean"]) == set(LEARNERS)
        assert result["episode_return_mean"] == pytest.approx(sum(returns.values()))
        assert result["episode_len_mean"] == TICKS
        for bank in LEARNERS:
            after = algorithm.get_module(bank).get_state()
            assert any(not np.array_equal(after[name], before[bank][name]) for name in after)
        algorithm.stop()

    def test_evaluation_without_exploration_repeats_itself(self) -> None:
        config = (
            native(slots=2)
            .training(train_batch_size_per_learner=ROWS * TICKS, minibatch_size=TICKS, num_epochs=1)
            .evaluation(
                evaluation_interval=10, evaluation_duration=2 * ROWS, evaluation_config={"explore": False}
            )
        )
        algorithm = config.build_algo()
        assert algorithm.train()["env_runners"]["episode_return_mean"] < 0
        first, second = (algorithm.evaluate()["env_runners"] for _ in range(2))
        algorithm.stop()
        assert first["num_episodes"] == 2 * ROWS
        assert first["episode_return_mean"] == second["episode_return_mean"]
        assert first["episode_return_min"] < first["episode_return_max"]


@pytest.mark.timeout(600)  # Ray starts its processes slowly on a busy machine
def test_the_page_of_rllib_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    command = [sys.executable, "-c", example]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | ENVIRONMENT)
    assert run.returncode == 0, run.stderr
    printed = [line.split() for line in run.stdout.splitlines() if re.fullmatch(r"\w+ -?\d+\.\d+", line)]
    assert [bank for bank, _ in printed] == ["BANK_A"] * 2 + ["CORE_A", "CORE_B"] * 2
    assert all(float(mean_return) < 0 for _, mean_return in printed)


def test_the_prefix_of_the_id_imports_the_package() -> None:
    """As on another machine."""
    code = "import gymnasium as gym, sys; gym.make_vec({!r}, num_envs=2); assert 'ray' not in sys.modules"
    prefixed, plain = (
        subprocess.run([sys.executable, "-c", code.format(env_id)], capture_output=True, text=True)
        for env_id in ("paysim_gym:PaySim/TwoBank-v1", "PaySim/TwoBank-v1")
    )
    assert prefixed.returncode == 0, prefixed.stderr
    assert gym.error.NamespaceNotFound.__name__ in plain.stderr


def test_a_closed_environment_raises() -> None:
    env = PaymentMultiAgentEnv({"scenario": "five_bank", "learners": ["CORE_A"]})
    env.reset(seed=0)
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        env.step({"CORE_A": np.zeros(8, np.int64)})
