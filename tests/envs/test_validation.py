"""Arguments of reset, step and scripted_actions, valid and invalid."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from paysim_agents import ScriptedAgent, scripted

from paysim_gym import ActionError, PaymentEnv, PaymentVectorEnv
from paysim_gym.envs.validation import spread_seeds

WRONG_POLICIES = [
    ({"type": "liquidity_aware", "buffer": 1.5}, "policy.buffer = 1.5: must be an integer number of cents"),
    ({"type": "random", "release_probability": np.nan}, "policy.release_probability = nan: must be a number"),
    ({"type": "release_all", "buffer": 1}, "policy.buffer = 1: unknown key; allowed: type"),
    (
        {"type": "greedy"},
        "policy = {'type': 'greedy'}: must be a mapping with a `type`, one of release_all, ",
    ),
    ({}, "policy = {}: must be a mapping with a `type`, one of release_all, "),
    (None, "policy = None: must be a mapping with a `type`, one of release_all, "),
    ("release_all", "policy = 'release_all': must be a mapping with a `type`, one of release_all, "),
    (
        {"type": "learner"},
        "policy = {'type': 'learner'}: the policy of a learner is not scripted; must be a mapping with",
    ),
    (
        {"type": "network", "weights": "file"},
        "policy = {'type': 'network', 'weights': 'file'}: a network plays only for the bank that names it; ",
    ),
]


@pytest.mark.parametrize(("policy", "start"), WRONG_POLICIES, ids=lambda part: str(part)[:40])
def test_a_wrong_scripted_policy_is_named_early(policy: Any, start: str) -> None:
    env = PaymentEnv()
    env.reset(seed=0)
    for act in (env.scripted_actions, scripted, lambda policy: ScriptedAgent(env, policy)):
        with pytest.raises(ValueError, match=re.escape(start)):
            act(policy)


def test_a_scripted_policy_may_hold_numpy_numbers() -> None:
    env = PaymentVectorEnv(3)
    env.reset(seed=0)
    given = {"type": "liquidity_aware", "buffer": np.int64(700_000_00)}
    plain = {"type": "liquidity_aware", "buffer": 700_000_00}
    assert np.array_equal(env.scripted_actions(given), env.scripted_actions(plain))
    assert ScriptedAgent(env, given).policy == plain
    assert np.array_equal(
        env.scripted_actions(env.scenario.agents[1].policy.model_dump()),
        env.scripted_actions({"type": env.scenario.agents[1].policy.type}),
    )


def test_a_reset_mask_need_not_be_contiguous() -> None:
    env = PaymentVectorEnv(2)
    env.reset(seed=0)
    _, infos = env.reset(options={"reset_mask": np.array([True, True, False, False])[::2]})
    assert infos["_action_mask"].tolist() == [True, False]


@pytest.mark.parametrize("seed", [np.array(3), np.array([[1], [2]])], ids=str)
def test_a_seed_array_must_have_one_entry_a_row(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^seed = array"):
        PaymentVectorEnv(2).reset(seed=seed)


def test_spread_seeds_are_shared_with_no_other_seed_or_worker() -> None:
    drawn = [spread_seeds(seed, 64, worker) for seed in range(8) for worker in range(8)]
    assert len({seed for seeds in drawn for seed in seeds}) == 64 * 64
    assert spread_seeds(3, 5) == spread_seeds(3, 64)[:5]
    assert spread_seeds(0, 2) == [8668861027912758289, 14584187760040447831]


def test_a_fleet_spreads_the_seed_if_told_to() -> None:
    spread, listed = PaymentVectorEnv(3, seeding="spread"), PaymentVectorEnv(3)
    for seed in (0, 2**64 - 1):
        ours, theirs = spread.reset(seed=seed)[0], listed.reset(seed=spread_seeds(seed, 3))[0]
        assert np.array_equal(ours, theirs)
    assert np.array_equal(spread.reset(seed=[1, 2, 3])[0], listed.reset(seed=1)[0])
    assert np.array_equal(spread.reset()[0], listed.reset()[0])
    with pytest.raises(ValueError, match=r"^seed = -1: must be an integer"):
        spread.reset(seed=-1)
    with pytest.raises(ValueError, match=r"^seeding = 'apart'"):
        PaymentVectorEnv(3, seeding="apart")  # type: ignore[arg-type]


def test_a_huge_seed_is_named_by_type() -> None:
    with pytest.raises(ValueError, match=r"^seed = \(int too large to show\): must be an integer"):
        PaymentEnv().reset(seed=10**5000)


@pytest.mark.parametrize("options", [5, ["reset_mask"], "reset_mask", False, []], ids=str)
def test_options_must_be_a_mapping(options: Any) -> None:
    for env in (PaymentEnv(), PaymentVectorEnv(1)):
        with pytest.raises(ValueError, match=re.escape(f"options = {options!r}: must be a mapping or None")):
            env.reset(seed=0, options=options)


def test_wrong_shapes_are_those_of_the_environment() -> None:
    single, fleet = PaymentEnv(), PaymentVectorEnv(1)
    single.reset(seed=0)
    fleet.reset(seed=0)
    for actions in (np.zeros(7, np.int64), np.zeros((1, 8), np.int64), np.int64(0)):
        with pytest.raises(ValueError, match=re.escape(f"shape {actions.shape}: must be (8,)")):
            single.step(actions)
    with pytest.raises(ValueError, match=re.escape("shape (8,): must be (1, 8)")):
        fleet.step(np.zeros(8, np.int64))


@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_actions_beyond_int64_are_reported_as_they_are(value: int) -> None:
    env = PaymentVectorEnv(3)
    env.reset(seed=0)
    actions: NDArray[Any] = np.zeros((3, 8), np.uint64)
    actions[1, 5] = value
    expected = f"environment 1, bank BANK_A, slot 5: action {value} must be between 0 and 3"
    with pytest.raises(ActionError, match=f"^{expected}$"):
        env.step(actions)
    actions[1, 5] = 0
    env.step(actions)
