"""The component of an action that commits a share of a liquidity pool."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test

from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym._engine import ActionError
from paysim_gym.envs.env_arguments import Decides
from paysim_gym.envs.parallel import PaymentParallelEnv
from paysim_gym.envs.spaces import component_choices, masks_by_component

POOL = 900_000_00
TICKS = 12


@pytest.fixture
def pooled(small_scenario: dict[str, Any]) -> dict[str, Any]:
    """Two days of two banks, of which the first has a pool."""
    small_scenario["agents"][0] |= {"balance": 0, "liquidity_pool": POOL}
    small_scenario["costs"] = {**small_scenario["costs"], "liquidity_rate": 0.00001}
    return {**small_scenario, "num_days": 2}


def committed(env: PaymentEnv) -> int:
    return int(env._fleet.snapshots()[0]["pool_committed"])


class TestSpaces:
    def test_a_pool_adds_one_last_component(self, pooled: dict[str, Any]) -> None:
        assert PaymentEnv(pooled).action_space == MultiDiscrete([*[4] * 8, 21])
        few = PaymentEnv(pooled, slots=2, split_parts=[], pool_shares=101)
        assert few.action_space == MultiDiscrete([2, 2, 101])
        assert PaymentEnv(pooled, decides="payments").action_space == MultiDiscrete([4] * 8)
        assert PaymentEnv(pooled, learner="BANK_B").action_space == MultiDiscrete([4] * 8)
        assert PaymentEnv(pooled, action_mode="fraction").action_space == Discrete(21)

    @pytest.mark.parametrize("slots", [1, 8])
    def test_the_pool_alone_is_one_number(self, pooled: dict[str, Any], slots: int) -> None:
        env = PaymentEnv(pooled, slots=slots, decides="pool", pool_shares=6)
        assert env.action_space == Discrete(6)
        fleet = PaymentVectorEnv(3, pooled, decides="pool", pool_shares=6)
        assert fleet.action_space == MultiDiscrete([6] * 3)
        fleet.reset(seed=0)
        assert fleet.action_masks().shape == (3, 6)
        assert fleet.step(np.array([5, 0, 3]))[0].shape[0] == 3
        check_env(env, skip_render_check=True)

    @pytest.mark.parametrize(
        "arguments", [{}, {"pool_shares": 2}, {"decides": "pool"}, {"decides": "nothing"}]
    )
    def test_all_learners_have_the_same_components(
        self, pooled: dict[str, Any], arguments: dict[str, Any]
    ) -> None:
        parallel = PaymentParallelEnv(pooled, ["BANK_B", "BANK_A"], **arguments)
        assert parallel.action_space("BANK_A") == parallel.action_space("BANK_B")
        parallel.reset(seed=0)
        choices = component_choices(parallel.action_space("BANK_B"))
        legal = {
            bank: masks_by_component(mask, parallel.action_space(bank))[-1].sum()
            for bank, mask in parallel.action_masks().items()
        }
        assert legal == {"BANK_A": choices[-1], "BANK_B": 1}
        parallel_api_test(PaymentParallelEnv(pooled, ["BANK_B", "BANK_A"], **arguments))


class TestMasks:
    def test_only_an_opening_commits_the_pool(self, pooled: dict[str, Any]) -> None:
        env = PaymentEnv(pooled, pool_shares=5)
        env.reset(seed=1)
        releases = 0
        for step in range(2 * (1 + TICKS)):
            mask = env.action_masks()
            assert mask.size == 8 * 4 + 5
            slots, pool = mask[:32].reshape(8, 4), mask[32:]
            assert slots[:, 0].all()
            assert pool[0]
            is_opening = step % (1 + TICKS) == 0
            assert pool[1:].tolist() == [is_opening] * 4
            assert not (is_opening and slots[:, 1:].any())
            releases += slots[:, 1].sum()
            env.step(np.zeros(9, np.int64))
        assert releases

    def test_masks_by_component_are_padded(self) -> None:
        space = MultiDiscrete([2, 2, 4])
        masks = np.arange(16).reshape(2, 8) % 2 == 0
        found = masks_by_component(masks, space)
        assert found.shape == (2, 3, 4)
        for row, mask in zip(found, masks, strict=True):
            parts = [row[0, :2], row[1, :2], row[2]]
            assert np.concatenate(parts).tolist() == mask.tolist()
            assert not row[:2, 2:].any()
        assert masks_by_component(masks[0, :3], Discrete(3)).tolist() == [masks[0, :3].tolist()]


class TestSteps:
    @pytest.mark.parametrize(("shares", "choice"), [(5, 3), (2, 1), (101, 37), (21, 0)])
    def test_a_choice_commits_its_share(self, pooled: dict[str, Any], shares: int, choice: int) -> None:
        env = PaymentEnv(pooled, pool_shares=shares)
        env.reset(seed=0)
        *_, info = env.step(np.array([*[0] * 8, choice]))
        assert info["illegal_actions"] == 0
        assert abs(committed(env) - POOL * choice / (shares - 1)) <= 1
        alone = PaymentEnv(pooled, decides="pool", pool_shares=shares)
        alone.reset(seed=0)
        alone.step(choice)
        assert committed(alone) == committed(env)

    def test_a_choice_at_another_time_acts_as_hold_or_raises(self, pooled: dict[str, Any]) -> None:
        env, strict = PaymentEnv(pooled), PaymentEnv(pooled, strict=True)
        for each in (env, strict):
            each.reset(seed=0)
        *_, info = env.step(np.array([1, 2, *[0] * 6, 20]))
        assert (info["illegal_actions"], committed(env)) == (2, POOL)
        with pytest.raises(ActionError, match="slot 0: action 1 is masked: an opening step only commits"):
            strict.step(np.array([1, *[0] * 8]))
        strict.step(np.array([*[0] * 8, 20]))
        *_, info = env.step(np.array([*[0] * 8, 7]))
        assert (info["illegal_actions"], committed(env)) == (1, POOL)
        with pytest.raises(
            ActionError, match="pool share: action 7 is masked: the pool is committed in an op"
        ):
            strict.step(np.array([*[0] * 8, 7]))
        with pytest.raises(ActionError, match="pool share: action 21 must be between 0 and 20"):
            strict.step(np.array([*[0] * 8, 21]))
        with pytest.raises(ActionError, match=r"slot 7: action 4 must be between 0 and 3"):
            strict.step(np.array([*[0] * 7, 4, 0]))
        with pytest.raises(ActionError, match=f"pool share: action {2**63} must be between 0 and 20"):
            strict.step(np.array([*[0] * 8, 2**63], np.uint64))

    def test_a_scripted_policy_commits_the_nearest_share(self, pooled: dict[str, Any]) -> None:
        pooled["agents"][0]["liquidity_share"] = 0.62
        for shares, choice in ((21, 12), (5, 2), (2, 1)):
            env = PaymentEnv(pooled, pool_shares=shares)
            env.reset(seed=0)
            assert env.scripted_actions({"type": "release_all"}).tolist() == [*[0] * 8, choice]
            env.step(env.scripted_actions({"type": "release_all"}))
            assert env.scripted_actions({"type": "release_all"})[-1] == 0

    def test_nothing_is_decided_from_outside(self, pooled: dict[str, Any]) -> None:
        pooled["agents"][0] |= {"liquidity_share": 0.5, "policy": {"type": "hold_until_deadline"}}
        costs = []
        for decides in ("nothing", "payments"):
            env = PaymentVectorEnv(4, pooled, "BANK_A", decides=decides, slots=64, autoreset_mode="Disabled")
            env.reset(seed=0)
            infos: dict[str, Any] = {}
            while "episode_cost" not in infos:
                actions = env.scripted_actions({"type": "hold_until_deadline"})
                *_, infos = env.step(actions)
            costs.append(infos["episode_cost"].tolist())
        assert costs[0] == costs[1]
        assert PaymentEnv(pooled, "BANK_A", decides="nothing").action_space == Discrete(1)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"pool_shares": 1}, "pool_shares = 1: must be an integer between 2 and 101"),
            ({"pool_shares": 102}, "pool_shares = 102: must be an integer between 2 and 101"),
            ({"pool_shares": 5.0}, "pool_shares = 5.0: must be an integer"),
            (
                {"pool_shares": 5, "action_mode": "fraction"},
                "pool_shares = 5: must be 21 in the fraction mode",
            ),
            ({"decides": "everything"}, "decides = 'everything'"),
        ],
    )
    def test_wrong_arguments(self, pooled: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            PaymentEnv(pooled, **arguments)

    def test_the_pool_alone_without_a_pool(self, pooled: dict[str, Any]) -> None:
        message = r"decides = pool: must be another value, because no learner \(BANK_B\) has a pool"
        only_pool: Decides = "pool"
        with pytest.raises(ValueError, match=message):
            PaymentEnv(pooled, "BANK_B", decides=only_pool)
        with pytest.raises(ValueError, match=message):
            gym.make("PaySim/Bank-v1", scenario=pooled, learner="BANK_B", decides="pool")
        with pytest.raises(ValueError, match=message):
            PaymentVectorEnv(2, pooled, "BANK_B", decides=only_pool, action_mode="fraction")
        with pytest.raises(ValueError, match=message):
            PaymentParallelEnv(pooled, ["BANK_B"], decides=only_pool)
        PaymentVectorEnv(2, pooled, ["BANK_A", "BANK_B"], decides=only_pool)
