"""The Gymnasium environments, single and vector: spaces, masks, seeds, rewards, ends and errors."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from paysim_gym import ActionError, EpisodeOverError, PaymentEnv, PaymentVectorEnv, observation_fields
from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.envs import fleet_rows
from paysim_gym.envs.infos import COST_KEYS

HOLD = np.zeros(8, np.int64)
SLOT_COLUMNS = [name.removeprefix("slot_0_") for name, *_ in observation_fields(1) if "slot_0_" in name]


def release_all(env: PaymentEnv) -> NDArray[np.int64]:
    return env.scripted_actions({"type": "release_all"})


def play_day(env: PaymentEnv, rng: np.random.Generator) -> tuple[list[float], list[dict[str, Any]]]:
    """Rewards and infos of random actions until the end of the day."""
    rewards, infos, over = [], [], False
    while not over:
        _, reward, over, _, info = env.step(rng.integers(4, size=8))
        rewards.append(reward)
        infos.append(info)
    return rewards, infos


class TestSpaces:
    def test_actions_are_one_choice_a_slot(self) -> None:
        assert PaymentEnv().action_space == gym.spaces.MultiDiscrete([4] * 8)
        assert PaymentEnv(slots=3, split_parts=[2]).action_space == gym.spaces.MultiDiscrete([3] * 3)
        assert PaymentEnv(split_parts=[]).action_space == gym.spaces.MultiDiscrete([2] * 8)

    def test_observation_has_the_documented_columns(self) -> None:
        for slots in (1, 8):
            fields = observation_fields(slots)
            space = PaymentEnv(slots=slots).observation_space
            assert isinstance(space, gym.spaces.Box)
            assert space.shape == (len(fields),)
            assert space.dtype == np.float32
            assert np.isfinite(space.low).all()
            assert np.isfinite(space.high).all()
            assert (space.low < space.high).all()
            assert len({name for name, *_ in fields}) == len(fields)

    @pytest.mark.parametrize("scenario", ["two_bank", "five_bank"])
    def test_random_days_stay_inside(self, scenario: str) -> None:
        env = PaymentVectorEnv(32, scenario)
        env.action_space.seed(0)
        observations, _ = env.reset(seed=0)
        for _ in range(60):
            assert env.observation_space.contains(observations)
            observations, *_ = env.step(env.action_space.sample())

    def test_observations_tell_payments_apart(self) -> None:
        observations, _ = PaymentVectorEnv(64).reset(seed=0)
        assert len(np.unique(observations, axis=0)) > 32

    @pytest.mark.parametrize("is_visible", [True, False])
    def test_a_slot_shows_what_waits_to_come_from_its_receiver(self, is_visible: bool) -> None:
        amounts = {"AB": 5, "AC": 6, "BA": 3, "BC": 4, "CA": 2, "CB": 1}
        payments = [
            {"type": "payment", "tick": 0, "sender": pair[0], "receiver": pair[1], "amount": cents}
            for pair, cents in amounts.items()
        ]
        scenario = {
            "ticks_per_day": 4,
            "agents": [{"id": bank, "balance": 0} for bank in "ABC"],
            "rails": [{"id": "RTGS", "incoming_queue_visible": is_visible}],
            "events": payments,
        }
        env = PaymentEnv(scenario, learner="A", slots=2)
        assert env.amount_scale_cents == 9  # the root of 5^2 + 6^2 + 3^2 + 2^2
        observation, _ = env.reset(seed=0)
        for waiting in ({}, {5: 3, 6: 2}):
            slots = observation[-2 * len(SLOT_COLUMNS) :].reshape(2, -1) * 9
            found = slots[:, [0, SLOT_COLUMNS.index("incoming_value")]].round(4)
            seen = dict(found.tolist())
            assert seen == {amount: waiting.get(amount, 0) * is_visible for amount in (5, 6)}
            observation, *_ = env.step(HOLD[:2])


class TestMasks:
    def test_mask_has_a_legal_hold_in_every_slot(self) -> None:
        env = PaymentVectorEnv(16)
        _, infos = env.reset(seed=0)
        for _ in range(50):
            masks = env.action_masks()
            assert masks.dtype == np.bool_
            assert masks.shape == infos["action_mask"].shape == (16, 32)
            assert infos["action_mask"].dtype == np.int8
            assert np.array_equal(masks, infos["action_mask"])
            assert masks.reshape(16, 8, 4)[:, :, 0].all()
            *_, infos = env.step(np.zeros((16, 8), np.int64))

    def test_masked_action_acts_as_hold_and_is_counted(self) -> None:
        twins = PaymentEnv(), PaymentEnv()
        for env in twins:
            env.reset(seed=3)
        mask = twins[0].action_masks().reshape(8, 4)
        action = np.where(mask[:, 1], 0, 1)
        observation, reward, *_, info = twins[0].step(action)
        held, held_reward, *_, held_info = twins[1].step(HOLD)
        assert info.pop("illegal_actions") == action.sum() > 0
        assert held_info.pop("illegal_actions") == 0
        assert np.array_equal(observation, held)
        assert reward == held_reward

    def test_masked_action_raises_in_strict_mode(self) -> None:
        env = PaymentEnv(strict=True)
        env.reset(seed=3)
        mask = env.action_masks().reshape(8, 4)
        slot = int(np.flatnonzero(~mask[:, 1])[-1])
        action = HOLD.copy()
        action[slot] = 1
        with pytest.raises(ActionError, match=rf"BANK_A.*slot {slot}.*1"):
            env.step(action)

    def test_legal_random_days_pass_in_strict_mode(self) -> None:
        env = PaymentVectorEnv(8, strict=True)
        rng = np.random.default_rng(0)
        env.reset(seed=0)
        for _ in range(100):
            scores = rng.random((8, 8, 4)) * env.action_masks().reshape(8, 8, 4)
            *_, infos = env.step(scores.argmax(axis=2))
            assert not infos.get("illegal_actions", np.zeros(8)).any()


class TestActions:
    @pytest.mark.parametrize(
        ("action", "error", "message"),
        [
            (np.zeros(7, np.int64), ValueError, r"shape \(7,\): must be \(8,\)"),
            (np.zeros((1, 8), np.int64), ValueError, "shape"),
            (np.zeros(8), ValueError, "dtype float64: must be integers"),
            (np.zeros(8, bool), ValueError, "dtype bool"),
            ([0, 0, 0, 4, 0, 0, 0, 0], ActionError, "slot 3.*4"),
            ([0, 0, 0, 0, 0, 0, 0, -1], ActionError, "slot 7.*-1"),
        ],
    )
    def test_wrong_action_raises_and_changes_nothing(
        self, action: Any, error: type[Exception], message: str
    ) -> None:
        twins = PaymentEnv(), PaymentEnv()
        for env in twins:
            env.reset(seed=1)
        with pytest.raises(error, match=message):
            twins[0].step(action)
        for _ in range(3):
            observation, reward, *_ = twins[0].step(release_all(twins[0]))
            expected, expected_reward, *_ = twins[1].step(release_all(twins[1]))
            assert np.array_equal(observation, expected)
            assert reward == expected_reward

    def test_error_names_the_row(self) -> None:
        env = PaymentVectorEnv(4)
        env.reset(seed=0)
        actions = np.zeros((4, 8), np.int64)
        actions[2, 5] = 9
        with pytest.raises(ActionError, match=r"2.*BANK_A.*5.*9"):
            env.step(actions)

    def test_reset_comes_first(self) -> None:
        for env, actions in ((PaymentEnv(), HOLD), (PaymentVectorEnv(2), np.zeros((2, 8), np.int64))):
            with pytest.raises(ResetNeeded, match="reset"):
                env.step(actions)
            with pytest.raises(ResetNeeded, match="reset"):
                env.action_masks()
            with pytest.raises(ResetNeeded, match="reset"):
                env.scripted_actions({"type": "release_all"})

    def test_wrong_scripted_policy_is_a_value_error(self) -> None:
        env = PaymentEnv()
        env.reset(seed=0)
        for policy in ({"type": "greedy"}, {"type": "liquidity_aware", "buffer": 1.5}, {"margin": 1}, {}):
            with pytest.raises(ValueError, match=r"greedy|1\.5|type"):
                env.scripted_actions(policy)


class TestSeeds:
    def test_seed_fixes_the_sequence_of_episodes(self) -> None:
        firsts = []
        for seed in (0, 0, 1, 2**64 - 1):
            env = PaymentEnv()
            first, _ = env.reset(seed=seed)
            second, _ = env.reset()
            assert not np.array_equal(first, second)
            firsts.append((first, second))
        assert np.array_equal(firsts[0], firsts[1])
        assert not np.array_equal(firsts[0], firsts[2])
        assert not np.array_equal(firsts[0], firsts[3])

    def test_payments_do_not_depend_on_actions(self) -> None:
        """Common random numbers: arrivals depend on the seed alone."""
        arrived = []
        for policy in ({"type": "release_all"}, {"type": "hold_until_deadline"}):
            env = PaymentEnv()
            env.reset(seed=5)
            days = []
            for _ in range(3):
                over = False
                while not over:
                    _, _, over, _, info = env.step(env.scripted_actions(policy))
                days.append((info["episode_arrived_count"], info["episode_arrived_value"]))
                env.reset()
            arrived.append(days)
        assert arrived[0] == arrived[1]

    def test_unseeded_reset_draws_from_the_generator(self) -> None:
        def first(seed: int) -> NDArray[np.float32]:
            env = PaymentEnv()
            env.np_random = np.random.default_rng(seed)
            return env.reset()[0]

        assert np.array_equal(first(0), first(0))
        assert not np.array_equal(first(0), first(1))
        fleet, _ = PaymentVectorEnv(8).reset()
        assert len(np.unique(fleet, axis=0)) > 1

    @pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "0"])
    def test_wrong_seed_is_a_value_error(self, seed: Any) -> None:
        for env in (PaymentEnv(), PaymentVectorEnv(1)):
            with pytest.raises(ValueError, match="seed"):
                env.reset(seed=seed)

    @pytest.mark.parametrize("seed", [[1, 2], [1, 2, -3], 2**64 - 2])
    def test_wrong_row_seeds_are_a_value_error(self, seed: Any) -> None:
        with pytest.raises(ValueError, match="seed"):
            PaymentVectorEnv(3).reset(seed=seed)

    def test_rows_are_seeded_one_by_one(self) -> None:
        env = PaymentVectorEnv(3)
        by_int, _ = env.reset(seed=7)
        by_list, _ = env.reset(seed=[7, 8, 9])
        by_array, _ = env.reset(seed=np.array([7, 8, 9]))  # type: ignore[arg-type]
        assert np.array_equal(by_int, by_list)
        assert np.array_equal(by_int, by_array)
        partly, _ = env.reset(seed=[7, None, 9])
        assert np.array_equal(partly[[0, 2]], by_int[[0, 2]])
        assert not np.array_equal(partly[1], by_int[1])

    def test_np_random_follows_gymnasium(self) -> None:
        env = PaymentEnv()
        env.reset(seed=11)
        assert env.np_random_seed == 11
        state = env.np_random.bit_generator.state
        env.reset()
        assert env.np_random.bit_generator.state == state


class TestRewards:
    @pytest.mark.parametrize("scale", [None, 1_000.0])
    def test_rewards_sum_to_minus_cost_over_scale(self, scale: float | None) -> None:
        env = PaymentEnv(reward_scale=scale)
        rng = np.random.default_rng(0)
        env.reset(seed=0)
        for _ in range(5):
            rewards, infos = play_day(env, rng)
            cost = infos[-1]["episode_cost"]
            assert sum(rewards) == pytest.approx(-cost / env.reward_scale_cents, rel=1e-12)
            for component in COST_COMPONENTS:
                charged = sum(info[f"cost_{component}"] for info in infos)
                assert charged == infos[-1][f"episode_cost_{component}"]
            assert cost == sum(infos[-1][f"episode_cost_{component}"] for component in COST_COMPONENTS) > 0
            env.reset()

    def test_reward_is_the_cost_of_the_step(self) -> None:
        env = PaymentEnv()
        env.reset(seed=0)
        rewards, infos = play_day(env, np.random.default_rng(1))
        for reward, info in zip(rewards, infos, strict=True):
            assert reward == -sum(info[key] for key in COST_KEYS) / env.reward_scale_cents

    def test_blend_lies_between_own_and_system(self) -> None:
        days = {}
        for kind in ("own", "system", "blend"):
            env = PaymentEnv(reward=kind, reward_blend=0.25, reward_scale=1_000_00.0)
            env.reset(seed=0)
            days[kind] = np.array(play_day(env, np.random.default_rng(0))[0])
        assert (days["system"] <= days["own"]).all()
        assert (days["system"] < days["own"]).any()
        assert days["blend"] == pytest.approx(0.75 * days["own"] + 0.25 * days["system"])

    def test_infos_are_flat_numbers_and_masks(self) -> None:
        env = PaymentEnv()
        _, first = env.reset(seed=0)
        restored = env.restore_state(env.save_state())[1]
        _, infos = play_day(env, np.random.default_rng(0))
        keys = (*COST_KEYS, "illegal_actions", "action_mask")
        for info in (first, restored, *infos[:-1]):
            assert tuple(info) == keys
            assert all(type(info[key]) is int for key in keys[:-1])
        assert {first[key] for key in keys[:-1]} == {restored[key] for key in keys[:-1]} == {0}
        totals = {key: value for key, value in infos[-1].items() if key not in keys}
        assert all(key.startswith("episode_") for key in totals)
        assert {f"episode_{key}" for key in COST_KEYS} < totals.keys()
        floats = {name for name, value in totals.items() if type(value) is not int}
        assert floats == {"episode_settlement_rate", "episode_mean_delay"}
        assert {type(totals[name]) for name in floats} == {float}


class TestEnds:
    def test_day_ends_terminated(self, small_scenario: dict[str, Any]) -> None:
        env = PaymentEnv(small_scenario | {"num_days": 2})
        env.reset(seed=0)
        for tick in range(24):
            _, _, terminated, truncated, info = env.step(release_all(env))
            assert terminated is (tick == 23)
            assert truncated is False
            assert ("episode_cost" in info) is terminated
        with pytest.raises(EpisodeOverError, match="reset"):
            env.step(HOLD)

    def test_disabled_mode_wants_ended_rows_reset(self, small_scenario: dict[str, Any]) -> None:
        env = PaymentVectorEnv(3, small_scenario, autoreset_mode="Disabled")
        env.reset(seed=0)
        actions = np.zeros((3, 8), np.int64)
        for _ in range(6):
            env.step(actions)
        mask = np.array([False, True, False])
        options = {"reset_mask": mask, "unknown": 1}
        _, infos = env.reset(options=options)
        assert options.keys() == {"reset_mask", "unknown"}
        assert np.array_equal(infos["_action_mask"], mask)
        for _ in range(6):
            _, _, terminated, _, _ = env.step(actions)
        assert terminated.tolist() == [True, False, True]
        with pytest.raises(EpisodeOverError, match=r"\[0, 2\]"):
            env.step(actions)
        env.reset(options={"reset_mask": np.array([True, False, False])})
        with pytest.raises(EpisodeOverError, match=r"\[2\]"):
            env.step(actions)
        env.reset(options={"reset_mask": np.array([False, False, True])})
        env.step(actions)

    @pytest.mark.parametrize(
        "mask", [[True, False], np.ones(3, bool), np.ones(2), np.zeros(2, bool)], ids=str
    )
    def test_wrong_reset_mask_is_a_value_error(self, mask: Any) -> None:
        env = PaymentVectorEnv(2)
        env.reset(seed=0)
        with pytest.raises(ValueError, match="reset_mask"):
            env.reset(options={"reset_mask": mask})

    def test_first_reset_is_whole(self) -> None:
        with pytest.raises(ResetNeeded, match="every row"):
            PaymentVectorEnv(2).reset(options={"reset_mask": np.array([True, False])})

    def test_step_limit_truncates(self) -> None:
        env = gym.make_vec("PaySim/TwoBank-v1", num_envs=2, max_episode_steps=5)
        env.reset(seed=0)
        for step in range(1, 12):
            _, _, terminated, truncated, infos = env.step(np.zeros((2, 8), np.int64))
            assert not terminated.any()
            assert truncated.all() == (step in (5, 11))
            assert ("episode_cost" in infos) == (step in (5, 11))


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"slots": 0}, "slots"),
            ({"split_parts": [1]}, "split_parts"),
            ({"reward": "theirs"}, "reward"),
            ({"reward_blend": 1.5}, "reward_blend"),
            ({"reward_scale": 0.0}, "reward_scale"),
            ({"render_mode": "x"}, "render_mode"),
            ({"learner": "BANK_X"}, "BANK_X.*BANK_A, BANK_B"),
            ({"scenario": "three_bank"}, "five_bank.*two_bank"),
        ],
    )
    def test_wrong_argument_is_a_value_error(self, arguments: dict[str, Any], message: str) -> None:
        for make in (PaymentEnv, PaymentVectorEnv):
            with pytest.raises(ValueError, match=message):
                make(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"num_envs": 0}, "num_envs = 0"),
            ({"num_envs": 2.0}, r"num_envs = 2\.0"),
            ({"num_threads": 0}, "num_threads = 0"),
            ({"max_episode_steps": 0}, "max_episode_steps"),
            ({"autoreset_mode": "Never"}, "'NextStep', 'SameStep', 'Disabled'"),
        ],
    )
    def test_wrong_fleet_argument_is_a_value_error(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            PaymentVectorEnv(**arguments)

    def test_learner_must_be_clear(self, small_scenario: dict[str, Any]) -> None:
        first, second = small_scenario["agents"]
        for policies, found in ((("learner", "learner"), "BANK_A, BANK_B"), (("random", "random"), "none")):
            agents = [
                bank | {"policy": {"type": kind}}
                for bank, kind in zip((first, second), policies, strict=True)
            ]
            with pytest.raises(ValueError, match=found):
                PaymentEnv(small_scenario | {"agents": agents})
            assert PaymentEnv(small_scenario | {"agents": agents}, learner="BANK_B").learner == "BANK_B"

    def test_small_fleets_and_worker_processes_use_one_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        assert fleet_rows.default_threads(8) == 1
        assert fleet_rows.default_threads(64) == 4
        monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
        assert fleet_rows.default_threads(64) == 1
