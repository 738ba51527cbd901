"""Registered ids and their specs: step limits, discrete actions and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode
from network_files import network_file
from same import assert_same
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from paysim_gym import PaymentEnv, PaymentVectorEnv, load_scenario
from paysim_gym.envs import DictObservation
from paysim_gym.envs.registration import ENV_SCENARIOS, EPISODE_STEPS, FRACTION_SCENARIOS, register_envs

ALL_IDS = [*ENV_SCENARIOS, *FRACTION_SCENARIOS]
LIMITED_IDS = [env_id for env_id in ALL_IDS if not env_id.startswith("PaySim/Bank")]


def made_again(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    assert env.spec is not None
    return gym.make(EnvSpec.from_json(env.spec.to_json()))


class TestRegistration:
    @pytest.mark.parametrize("env_id", ENV_SCENARIOS)
    def test_public_checkers_pass(self, env_id: str) -> None:
        gymnasium_check_env(gym.make(env_id).unwrapped)
        sb3_check_env(gym.make(env_id).unwrapped)

    def test_registering_again_changes_nothing(self) -> None:
        before = dict(gym.registry)
        register_envs()
        assert gym.registry == before

    def test_module_prefix_works(self) -> None:
        assert isinstance(gym.make("paysim_gym:PaySim/TwoBank-v1").unwrapped, PaymentEnv)

    def test_bank_takes_any_scenario(self, small_scenario: dict[str, Any]) -> None:
        env = gym.make("PaySim/Bank-v1", scenario=small_scenario, learner="BANK_B", slots=3)
        assert env.unwrapped.learner == "BANK_B"  # type: ignore[attr-defined]

    def test_make_vec_is_native(self) -> None:
        env = gym.make_vec("PaySim/TwoBank-v1", num_envs=3)
        assert isinstance(env, PaymentVectorEnv)
        assert env.num_envs == 3
        assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP

    def test_spec_survives_json(self) -> None:
        single = gym.make("PaySim/Bank-v1", scenario="five_bank", split_parts=[2, 3])
        assert single.spec is not None
        again = gym.make(EnvSpec.from_json(single.spec.to_json()))
        assert again.action_space == single.action_space
        fleet = gym.make_vec("PaySim/TwoBank-v1", num_envs=3, autoreset_mode="SameStep")
        assert fleet.spec is not None
        spec = EnvSpec.from_json(fleet.spec.to_json())
        assert gym.make_vec(spec).metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


class TestStepLimit:
    @pytest.mark.parametrize("env_id", ALL_IDS)
    def test_an_episode_ends_terminated_and_not_truncated(self, env_id: str) -> None:
        env, spec = gym.make(env_id), gym.spec(env_id)
        steps = EPISODE_STEPS[spec.kwargs["scenario"]]
        env.reset(seed=0)
        ends = [env.step(env.action_space.sample())[2:4] for _ in range(steps)]
        assert ends == [(False, False)] * (steps - 1) + [(True, False)]
        assert spec.max_episode_steps == (steps + 1 if env_id in LIMITED_IDS else None)

    @pytest.mark.parametrize("env_id", ["PaySim/TwoBank-v1", "PaySim/LiquidityPoolFraction-v1"])
    @pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
    def test_rows_end_terminated_and_not_truncated(self, env_id: str, mode: str) -> None:
        env = gym.make_vec(env_id, num_envs=2, vectorization_mode=mode)
        env.reset(seed=0)
        steps = EPISODE_STEPS[gym.spec(env_id).kwargs["scenario"]]
        for step in range(1, steps + 1):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            assert terminated.all() == (step == steps)
            assert not truncated.any()

    @pytest.mark.parametrize("decides", ["both", "pool", "payments", "nothing"])
    def test_openings_count(self, decides: Any) -> None:
        env = PaymentEnv("castro_three_period", "A", decides=decides)
        env.reset(seed=0)
        steps, over = 0, False
        while not over:
            _, _, over, _, _ = env.step(np.zeros(env.action_space.shape or (), np.int64))
            steps += 1
        assert steps == env.episode_steps

    def test_states_are_those_of_environments_without_limit(self) -> None:
        limited = gym.make_vec("PaySim/TwoBank-v1", num_envs=2)
        assert isinstance(limited, PaymentVectorEnv)
        assert limited.settings.max_episode_steps is None
        single = PaymentEnv()
        single.reset(seed=3)
        limited.reset(seed=0)
        assert np.array_equal(limited.restore_state(1, single.save_state())[0], single.reset(seed=3)[0])

    def test_a_limit_within_the_episode_stays(self) -> None:
        for limit in (5, 48):
            assert PaymentVectorEnv(1, max_episode_steps=limit).settings.max_episode_steps == limit

    def test_a_longer_scenario_is_warned_about(self) -> None:
        longer = {**load_scenario("two_bank").model_dump(mode="json"), "num_days": 2}
        message = "has 96 steps, but PaySim/TwoBank-v1 truncates after 49: make PaySim/Bank-v1"
        for make in (gym.make, gym.make_vec):
            with pytest.warns(UserWarning, match=message):
                make("PaySim/TwoBank-v1", scenario=longer)
            made: Any = make("PaySim/Bank-v1", scenario=longer)
            assert made.unwrapped.episode_steps == 96


class TestDiscreteIds:
    @pytest.mark.parametrize("env_id", FRACTION_SCENARIOS)
    def test_they_take_one_number(self, env_id: str) -> None:
        env = gym.make(env_id)
        assert env.action_space == gym.spaces.Discrete(21)
        assert gym.make_vec(env_id, num_envs=2).single_action_space == env.action_space
        slots = gym.make(env_id.replace("Fraction", ""))
        assert env.unwrapped.scenario == slots.unwrapped.scenario  # type: ignore[attr-defined]


class TestJson:
    @pytest.fixture(params=["name", "path", "text_path", "mapping", "scenario"])
    def source(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        """A scenario with a payments file and a network, in each form."""
        if request.param == "name":
            return "replayed_days"
        data = load_scenario("replayed_days").model_dump(mode="json", exclude_unset=True)
        network_file(tmp_path / "bank.safetensors")
        data["agents"][1]["policy"] = {"type": "network", "weights": "bank.safetensors"}
        (tmp_path / "day.yaml").write_text(yaml.safe_dump(data), "utf-8")
        path = tmp_path / "day.yaml"
        loaded = load_scenario(path)
        return {
            "path": path,
            "text_path": str(path),
            "mapping": loaded.model_dump(),
            "scenario": loaded,
        }[request.param]

    def test_a_single_environment_is_made_again(self, source: Any) -> None:
        env = gym.make("PaySim/Bank-v1", scenario=source, slots=np.int64(3), split_parts=(2, 3))
        again = made_again(env)
        inner, other = env.unwrapped, again.unwrapped
        assert isinstance(inner, PaymentEnv)
        assert isinstance(other, PaymentEnv)
        assert (other.scenario, other.settings) == (inner.scenario, inner.settings)
        assert again.spec == env.spec
        assert_same(env.reset(seed=1), again.reset(seed=1))
        actions = [env.action_space.sample() for _ in range(10)]
        assert_same([env.step(action) for action in actions], [again.step(action) for action in actions])

    def test_a_fleet_is_made_again(self, source: Any) -> None:
        env = gym.make_vec(
            "PaySim/Bank-v1", num_envs=3, scenario=source, autoreset_mode=AutoresetMode.SAME_STEP
        )
        assert env.spec is not None
        again = gym.make_vec(EnvSpec.from_json(env.spec.to_json()))
        assert again.num_envs == 3
        assert again.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        assert again.unwrapped.scenario == env.unwrapped.scenario  # type: ignore[attr-defined]
        assert_same(env.reset(seed=1), again.reset(seed=1))

    def test_a_name_stays_a_name(self) -> None:
        env = gym.make("PaySim/TwoBank-v1")
        assert env.spec is not None
        assert json.loads(env.spec.to_json())["kwargs"] == {"scenario": "two_bank"}
        assert PaymentEnv().spec is None

    def test_wrappers_are_kept(self, small_scenario: dict[str, Any]) -> None:
        env = DictObservation(gym.make("PaySim/Bank-v1", scenario=load_scenario(small_scenario)))
        again = made_again(env)
        assert again.spec == env.spec
        assert_same(again.reset(seed=0), env.reset(seed=0))
