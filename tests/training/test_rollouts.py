"""Rollouts of RLlib env runners, their advantages, and the network on both sides."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray")

import torch
from paysim_training.algorithms.queue_policy import QueuePolicy
from paysim_training.core.config import DistributedConfig, parse_config
from paysim_training.core.task import resolve_env
from paysim_training.rllib.algorithm import SHARED, algorithm_config
from paysim_training.rllib.fleet_runner import FleetEnvRunner
from paysim_training.rllib.module import SlotCategorical, sample_actions
from paysim_training.rllib.rollout import Rollout, RolloutsToBatch, estimate_advantages
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from paysim_gym import PaymentVectorEnv

STEPS, ROWS = 30, 4
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "scaling.py"
BANKS = ["CORE_A", "SMALL_D"]


def _runner(
    worker: int = 0, runners: int = 0, policies: str = "shared", rows_per_seed: int = 1, **kwargs: Any
) -> FleetEnvRunner:
    ppo = {"steps_per_rollout": STEPS, "batch_size": STEPS, "critic_layers": [8]}
    config = parse_config(
        {
            "env": {"id": "PaySim/FiveBank-v1", "kwargs": {"learner": BANKS, **kwargs}},
            "num_envs": ROWS,
            "ppo": {**ppo, "rows_per_seed": rows_per_seed},
        }
    )
    env, scenario = resolve_env(config.env, allow_several_learners=True)
    distribution = DistributedConfig(env_runners=runners, policies=policies)
    settings = algorithm_config(config.model_copy(update={"env": env}), scenario, distribution)
    return FleetEnvRunner(config=settings, worker_index=worker)


@pytest.mark.parametrize("limit", [None, 7])
def test_rollouts_are_what_the_fleet_plays(limit: int | None) -> None:
    runner = _runner(max_episode_steps=limit)
    runner.reset_fleet(5)
    fleet = PaymentVectorEnv(ROWS, "five_bank", BANKS, autoreset_mode="SameStep", max_episode_steps=limit)
    observations, _ = fleet.reset(seed=5)
    for _ in range(2):
        (rollout,) = runner.sample()
        final_observations = []
        for step in range(STEPS):
            assert np.array_equal(rollout.observations[step], observations)
            observations, rewards, terminated, truncated, infos = fleet.step(
                rollout.actions[step].astype(np.int64)
            )
            assert np.array_equal(rollout.rewards[step], rewards.astype(np.float32))
            assert np.array_equal(rollout.terminated[step], terminated)
            assert np.array_equal(rollout.truncated[step], truncated)
            if truncated.any():
                final_observations += list(infos["final_obs"][truncated])
        assert np.array_equal(rollout.observations[STEPS], observations)
        assert len(rollout) == STEPS * ROWS
        assert np.array_equal(
            rollout.final_observations, np.reshape(final_observations, rollout.final_observations.shape)
        )
    assert rollout.truncated.any() == (limit is not None)


def test_rows_play_the_same_days_however_many_runners_share_them() -> None:
    one, two = _runner(1, 1), [_runner(worker, 2) for worker in (1, 2)]
    assert [runner.env.num_envs for runner in (one, *two)] == [ROWS, ROWS // 2, ROWS // 2]
    day_starts = [runner.sample()[0].observations[0] for runner in (one, *two)]
    assert np.array_equal(day_starts[0], np.concatenate(day_starts[1:]))
    assert len(np.unique(day_starts[0], axis=0)) == ROWS


def test_rows_with_a_seed_play_the_same_days_and_only_their_difference_counts() -> None:
    arguments: dict[str, Any] = {"learner": "CORE_A", "rows_per_seed": 2, "max_episode_steps": 7}
    one, two = _runner(1, 1, **arguments), [_runner(worker, 2, **arguments) for worker in (1, 2)]
    day_starts = [runner.sample()[0].observations[0] for runner in (one, *two)]
    assert np.array_equal(day_starts[0], np.concatenate(day_starts[1:]))
    assert np.array_equal(day_starts[0][0::2], day_starts[0][1::2])
    assert len(np.unique(day_starts[0], axis=0)) == ROWS // 2
    (rollout,) = one.sample()
    starts = rollout.observations[1:][rollout.truncated.all(axis=1)]
    assert len(starts) > 2
    assert np.array_equal(starts[:, 0::2], starts[:, 1::2])
    assert not np.array_equal(rollout.observations[:, 0], rollout.observations[:, 1])
    alone, paired = (
        RolloutsToBatch(discount=0.9, gae_lambda=0.3, rows_per_seed=rows)._columns(
            one.module[SHARED], rollout, 1.0
        )
        for rows in (1, 2)
    )
    advantages = [columns[Columns.ADVANTAGES].reshape(STEPS, ROWS // 2, 2) for columns in (alone, paired)]
    assert torch.allclose(advantages[1], advantages[0] - advantages[0].flip(2), atol=1e-5)
    assert torch.equal(alone[Columns.VALUE_TARGETS], paired[Columns.VALUE_TARGETS])


@pytest.mark.parametrize("policies", ["shared", "separate"])
def test_each_of_several_banks_is_compared_with_itself(policies: str) -> None:
    runner = _runner(policies=policies, rows_per_seed=2)
    runner.reset_fleet(9)
    ours = {rollout.policy: rollout for rollout in runner.sample()}
    banks = len(BANKS) if policies == "shared" else 1
    all_rows, _ = PaymentVectorEnv(ROWS, "five_bank", BANKS).reset(seed=[9] * ROWS)
    for number, (policy, rollout) in enumerate(ours.items()):
        rows = slice(None) if policies == "shared" else slice(number, None, len(BANKS))
        assert np.array_equal(rollout.observations[0], all_rows[rows])
        alone, paired = (
            RolloutsToBatch(
                discount=0.9, gae_lambda=0.3, rows_per_seed=rows_per_seed, learners=banks
            )._columns(runner.module[policy], rollout, 1.0)[Columns.ADVANTAGES]
            for rows_per_seed in (1, 2)
        )
        by_system = alone.reshape(STEPS, 2, banks)
        assert torch.allclose(paired.reshape(STEPS, 2, banks), by_system - by_system.flip(1), atol=1e-5)


def test_separate_policies_have_the_rows_of_their_banks() -> None:
    runner = _runner(policies="separate")
    rollouts = {rollout.policy: rollout for rollout in runner.sample()}
    assert list(rollouts) == BANKS
    fleet = PaymentVectorEnv(ROWS, "five_bank", BANKS)
    first = runner.env.reset(seed=[1] * ROWS)[0]
    assert np.array_equal(fleet.reset(seed=[1] * ROWS)[0], first)
    assert all(rollout.observations.shape[1] == ROWS // 2 for rollout in rollouts.values())
    runner.reset_fleet(9)
    again = {rollout.policy: rollout.observations[0] for rollout in runner.sample()}
    all_rows, _ = fleet.reset(seed=[9, 9, 11, 11])
    for number, bank in enumerate(BANKS):
        assert np.array_equal(again[bank], all_rows[number::2])


def test_log_probs_are_those_of_the_network_and_empty_slots_hold() -> None:
    runner = _runner()
    (rollout,) = runner.sample()
    observations = torch.from_numpy(rollout.observations[:-1]).flatten(0, 1)
    policy = runner.module[SHARED].policy
    assert type(policy) is QueuePolicy
    actions = torch.from_numpy(rollout.actions).flatten(0, 1).long()
    _, log_probs, entropy = policy.evaluate_actions(observations, actions)
    assert np.allclose(rollout.log_probs.ravel(), log_probs.detach().numpy(), atol=1e-5)
    assert entropy is not None
    choices = SlotCategorical(logits=runner.module[SHARED].logits(observations))
    assert torch.allclose(choices.entropy(), entropy)
    values = runner.module[SHARED].compute_values({Columns.OBS: observations})
    assert torch.equal(values, policy.predict_values(observations)[:, 0])
    assert (rollout.actions > 0).any()


def test_actions_are_drawn_with_their_probabilities() -> None:
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.0, 0.9, 0.1]])
    sampled = sample_actions(probs.log().expand(40_000, 2, 3), torch.Generator().manual_seed(0))
    shares = torch.nn.functional.one_hot(sampled, 3).double().mean(dim=0)
    assert torch.allclose(shares, probs.double(), atol=0.01)


def test_advantages_by_hand() -> None:
    """Discount 1/2, lambda 1/2; the second row's episode ends with its first step."""
    rewards = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    values = torch.tensor([[4.0, 4.0], [8.0, 8.0], [16.0, 16.0]])
    ended = torch.tensor([[False, True], [False, False]])
    # Second step: 2 + 8 - 8 = 2. First: 1 + 4 - 4 + 2/4 = 1.5; where the episode ends: 1 - 4 = -3.
    expected = torch.tensor([[1.5, -3.0], [2.0, 2.0]])
    assert torch.equal(estimate_advantages(rewards, values, ended, 0.5, 0.5), expected)


def test_batch_has_every_step_once_with_rewards_of_unit_scale() -> None:
    runner = _runner(max_episode_steps=7)
    rollouts = runner.sample() + runner.sample()
    to_batch = RolloutsToBatch(discount=0.9, gae_lambda=0.3)
    batch = to_batch(rl_module=runner.module, episodes=rollouts)[SHARED]
    steps = 2 * STEPS * ROWS
    assert {len(column) for column in batch.values()} == {steps}
    observations = np.concatenate(
        [rollout.observations[:-1].reshape(STEPS * ROWS, -1) for rollout in rollouts]
    )
    assert np.array_equal(np.sort(batch[Columns.OBS].numpy(), axis=0), np.sort(observations, axis=0))
    assert not np.array_equal(batch[Columns.OBS].numpy(), observations)
    advantages = batch[Columns.ADVANTAGES]
    assert (float(advantages.mean()), float(advantages.std())) == pytest.approx((0, 1), abs=1e-2)
    spread = np.concatenate([rollout.discounted for rollout in rollouts]).std()
    assert np.sqrt(to_batch.normalisers[SHARED].var) == pytest.approx(spread, rel=1e-2)
    other = RolloutsToBatch(discount=0.9, gae_lambda=0.3)
    other.set_state(to_batch.get_state())
    assert vars(other.normalisers[SHARED]) == vars(to_batch.normalisers[SHARED])


def test_discounted_rewards_go_on_from_rollout_to_rollout_and_end_with_the_episode() -> None:
    runner = _runner()
    kept, carried = [runner.sample()[0] for _ in range(2)], np.zeros(ROWS)
    for rollout in kept:
        for step in range(STEPS):
            carried = 0.9 * carried + rollout.rewards[step]
            assert np.allclose(rollout.discounted[step], carried, rtol=1e-4, atol=1e-6)
            carried[rollout.terminated[step]] = 0
    assert any(rollout.terminated.any() for rollout in kept)


def test_rates_are_those_of_the_steps_so_far_before_the_learner_learns() -> None:
    """As after resuming: RLlib's checkpoints lack the entropy coefficient."""
    runner = _runner()
    entropy = [[0, 0.2], [3_000_000, 0.0]]
    settings = runner.config.copy(copy_frozen=False).training(entropy_coeff=entropy)
    learner = settings.build_learner(spaces=runner.get_spaces())
    learner.before_gradient_based_update(timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 1_500_000})
    coefficient = learner.entropy_coeff_schedulers_per_module[SHARED].get_current_value()
    assert float(coefficient) == pytest.approx(0.1)
    (rate,) = {group["lr"] for group in learner.get_optimizer(SHARED).param_groups}
    assert float(rate) == pytest.approx((3e-3 + 3e-4) / 2)


def test_bytes_of_a_rollout_are_those_of_its_arrays() -> None:
    (rollout,) = _runner().sample()
    size = rollout.observations.shape[2]
    per_step = 4 * size + 8 + 3 * 4 + 2
    assert rollout.nbytes == STEPS * ROWS * per_step + ROWS * 4 * size
    assert isinstance(rollout, Rollout)


def test_steps_of_more_cores_by_hand() -> None:
    """10 cores sample in 80 / 10; 100 bytes take 100 / 10."""
    spec = importlib.util.spec_from_file_location("scaling", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    scaling = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = scaling  # where dataclasses look for it
    spec.loader.exec_module(scaling)
    one = scaling.StepCost(1, seconds=90.0, sampling=80.0, environment=8.0, learning=2.0, sent=100.0)
    assert scaling.projected(one, 10, bandwidth=10.0) == {"sampling": 8.0, "network": 10.0, "learner": 2.0}
    marked = "before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n"
    page = scaling.fill(marked, "measured", scaling.cost_tables([one], 1.0))
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "Sampling and learning take equal time at 40.0 cores." in page


def test_the_page_names_what_the_command_offers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    for option in ("--num-env-runners", "--num-envs", "--address", "--policies", "--resume"):
        assert option in page
