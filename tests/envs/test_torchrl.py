"""TorchRL's own wrappers."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from pettingzoo.utils.conversions import parallel_to_aec
from torchrl.envs.libs.gym import GymWrapper
from torchrl.envs.libs.pettingzoo import PettingZooWrapper
from torchrl.envs.utils import check_env_specs

from paysim_gym import PaymentEnv
from paysim_gym.envs.env_arguments import ActionMode
from paysim_gym.envs.parallel import parallel_env

LEARNERS = ["CORE_A", "SMALL_D"]
STEPS = 150  # more than two days of five_bank

# TorchRL warns of its own tests' version of PettingZoo, and of how it turns tuples into tensors.
pytestmark = [
    pytest.mark.filterwarnings("ignore:PettingZoo in TorchRL is tested"),
    pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy.ndarrays"),
]


@pytest.mark.parametrize("use_mask", [False, True])
@pytest.mark.parametrize("action_mode", ["slots", "fraction"])
class TestPettingZooWrapper:
    def test_rollouts_go_through_the_ends_of_days(self, action_mode: ActionMode, use_mask: bool) -> None:
        env = PettingZooWrapper(
            parallel_env("five_bank", LEARNERS, action_mode=action_mode), use_mask=use_mask, seed=0
        )
        check_env_specs(env)
        played = env.rollout(STEPS, break_when_any_done=False)
        assert played.batch_size == torch.Size([STEPS])
        done = played["next", "CORE_A", "done"].squeeze()
        assert done.sum() >= 2
        for learner in LEARNERS:
            assert (played["next", learner, "done"].squeeze() == done).all()
            assert played["next", learner, "reward"].abs().sum() > 0
            # TorchRL samples within the masks.
            assert (played["next", learner, "info", "illegal_actions"] == 0).all()

    def test_values_are_those_of_the_environment(self, action_mode: ActionMode, use_mask: bool) -> None:
        env = PettingZooWrapper(
            parallel_env("five_bank", LEARNERS, action_mode=action_mode), use_mask=use_mask, seed=3
        )
        played = env.rollout(STEPS, break_when_any_done=False, set_truncated=False)
        alone = parallel_env("five_bank", LEARNERS, action_mode=action_mode)
        observations, infos = self.first(alone, played)
        for step in range(STEPS):
            tick = played[step]
            for learner in LEARNERS:
                assert np.array_equal(tick[learner, "observation"][0].numpy(), observations[learner])
                mask = np.concatenate(np.atleast_2d(infos[learner]["action_mask"]))
                assert np.array_equal(tick[learner, "action_mask"].numpy().ravel(), mask.astype(bool))
            actions = {learner: tick[learner, "action"][0].numpy() for learner in LEARNERS}
            observations, rewards, _, _, infos = alone.step(actions)
            for learner in LEARNERS:
                seen = tick["next", learner]
                assert np.array_equal(seen["observation"][0].numpy(), observations[learner])
                assert seen["reward"].item() == np.float32(rewards[learner])
                assert seen["info", "cost_delay"].item() == infos[learner]["cost_delay"]
            if not alone.agents:
                observations, infos = alone.reset()

    def first(self, alone: Any, played: Any) -> Any:
        """The episode with which the rollout begins: the wrapper resets more than once."""
        observations, infos = alone.reset(seed=3)
        for _ in range(5):
            if np.array_equal(played[0]["CORE_A", "observation"][0].numpy(), observations["CORE_A"]):
                return observations, infos
            observations, infos = alone.reset()
        raise AssertionError("the rollout begins with no episode of its seed")


@pytest.mark.parametrize(
    "arguments",
    [{"action_mode": "fraction"}, {"decides": "payments"}, {"decides": "pool"}, {"pool_shares": 4}],
)
def test_pools_roll_out_where_masks_are_even(arguments: dict[str, Any]) -> None:
    """TorchRL makes one tensor of a mask, so its components must be equally long."""
    env = PettingZooWrapper(parallel_env("liquidity_pool", **arguments), seed=0)
    played = env.rollout(STEPS, break_when_any_done=False)
    assert played["next", "done"].any()
    with pytest.raises(ValueError, match="expected sequence of length 4"):
        PettingZooWrapper(parallel_env("liquidity_pool"))


@pytest.mark.parametrize("action_mode", ["slots", "fraction"])
def test_aec_environments_roll_out(action_mode: ActionMode) -> None:
    aec = parallel_to_aec(parallel_env("five_bank", LEARNERS, action_mode=action_mode))
    env = PettingZooWrapper(aec, use_mask=True, seed=0)
    played = env.rollout(2 * STEPS, break_when_any_done=False)
    assert played["next", "done"].any()


@pytest.mark.parametrize("action_mode", ["slots", "fraction"])
def test_single_environments_roll_out(action_mode: ActionMode) -> None:
    env = GymWrapper(PaymentEnv(action_mode=action_mode))
    check_env_specs(env)
    played = env.rollout(100, break_when_any_done=False)
    assert played["next", "terminated"].sum() == 2
    assert gym.spaces.utils.flatdim(PaymentEnv().observation_space) == played["observation"].shape[-1]
