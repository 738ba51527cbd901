"""Several learners in one system: PettingZoo environment and vector rows."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.utils.conversions import parallel_to_aec
from same import assert_same, without_totals
from stable_baselines3 import PPO

from paysim_gym import ActionError, EpisodeOverError, PaymentEnv, PaymentVectorEnv
from paysim_gym.envs.env_arguments import ActionMode
from paysim_gym.envs.infos import COST_KEYS, episode_totals, reset_info
from paysim_gym.envs.parallel import PaymentParallelEnv, parallel_env
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.evaluation import evaluate

LEARNERS = ("CORE_A", "SMALL_D", "CORE_B")
TICKS = 60  # more than a day of five_bank


def random_actions(steps: int, rows: int) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(4, size=(steps, rows, 8))


def by_agent(batch: NDArray[np.int64], agents: tuple[str, ...] = LEARNERS) -> dict[str, Any]:
    return dict(zip(agents, batch, strict=True))


def kinds(info: dict[str, Any]) -> dict[str, Any]:
    """Key to type, shape and dtype."""
    return {key: (type(value), np.shape(value), np.asarray(value).dtype) for key, value in info.items()}


class TestPettingZoo:
    @pytest.mark.parametrize("learners", [LEARNERS, ["SMALL_E"], None], ids=str)
    @pytest.mark.parametrize("action_mode", ["slots", "fraction"])
    def test_public_checkers_pass(self, learners: Any, action_mode: ActionMode) -> None:
        parallel_api_test(parallel_env(scenario="five_bank", learners=learners, action_mode=action_mode))
        parallel_seed_test(lambda: parallel_env("five_bank", learners, action_mode=action_mode))

    def test_a_scenario_with_pools_passes_too(self) -> None:
        parallel_api_test(parallel_env("castro_three_period"))
        parallel_seed_test(lambda: parallel_env("castro_three_period"))

    def test_seed_fixes_whole_episodes(self) -> None:
        """PettingZoo's own test compares only one step."""

        def play(seed: int) -> list[Any]:
            env = parallel_env("five_bank", LEARNERS)
            seen: list[Any] = [env.reset(seed=seed)]
            for batch in random_actions(TICKS, 3):
                seen.append(env.step(by_agent(batch)))
                if not env.agents:
                    seen.append(env.reset())
            return seen

        assert_same(play(3), play(3))
        assert not np.array_equal(play(3)[0][0]["CORE_A"], play(4)[0][0]["CORE_A"])

    def test_agents_are_the_learners(self) -> None:
        env = parallel_env("five_bank", LEARNERS)
        assert env.possible_agents == list(LEARNERS)
        assert env.agents == []
        env.reset(seed=0)
        assert env.agents == list(LEARNERS)
        assert parallel_env("castro_two_period").possible_agents == ["A", "B"]
        assert parallel_env("two_bank").possible_agents == ["BANK_A"]

    def test_all_agents_end_together(self) -> None:
        env = parallel_env("five_bank", LEARNERS, max_episode_steps=3)
        env.reset(seed=0)
        hold = dict.fromkeys(LEARNERS, np.zeros(8, np.int64))
        for step in range(3):
            _, _, terminated, truncated, infos = env.step(hold)
            assert terminated == dict.fromkeys(LEARNERS, False)
            assert truncated == dict.fromkeys(LEARNERS, step == 2)
        assert env.agents == []
        assert all(info["episode_cost"] >= 0 for info in infos.values())
        with pytest.raises(EpisodeOverError):
            env.step(hold)
        env.reset()
        env.step(hold)

    def test_one_agent_is_the_single_environment(self) -> None:
        single, parallel = PaymentEnv("five_bank"), parallel_env("five_bank")
        (agent,) = parallel.possible_agents
        assert agent == single.learner
        assert parallel.observation_space(agent) == single.observation_space
        assert parallel.action_space(agent) == single.action_space
        observations, infos = parallel.reset(seed=5)
        assert_same((observations[agent], without_totals(infos[agent])), single.reset(seed=5))
        over = False
        for batch in random_actions(TICKS, 1):
            if over:
                break
            returned: Any = parallel.step({agent: batch[0]})
            *ours, infos = returned
            *theirs, expected = single.step(batch[0])
            over = bool(theirs[2])
            assert_same([part[agent] for part in ours], theirs)
            assert_same(infos[agent] if over else without_totals(infos[agent]), expected)
        assert over

    def test_a_day_goes_on_from_a_saved_state(self) -> None:
        env, other = parallel_env("five_bank", LEARNERS), parallel_env("five_bank", LEARNERS)
        env.reset(seed=0)
        other.reset(seed=1)
        batches = random_actions(30, 3)
        for batch in batches[:15]:
            last = env.step(by_agent(batch))
        observations, infos = other.restore_state(env.save_state())
        assert_same(observations, last[0])
        for agent in LEARNERS:
            assert_same(without_totals(infos[agent]), reset_info(last[4][agent]["action_mask"]))
            assert_same(episode_totals(infos[agent]), episode_totals(last[4][agent]))
        for batch in batches[15:]:
            assert_same(env.step(by_agent(batch)), other.step(by_agent(batch)))

    def test_a_restored_end_has_no_agents(self) -> None:
        env = parallel_env("five_bank", LEARNERS, max_episode_steps=1)
        env.reset(seed=0)
        before = env.save_state()
        env.step(by_agent(np.zeros((3, 8), np.int64)))
        end = env.save_state()
        env.restore_state(before)
        assert env.agents == list(LEARNERS)
        env.restore_state(end)
        assert env.agents == []

    def test_scripted_actions_and_masks_are_by_agent(self) -> None:
        env = parallel_env("five_bank", LEARNERS)
        _, infos = env.reset(seed=0)
        for agent, mask in env.action_masks().items():
            assert_same(mask.view(np.int8), np.concatenate(infos[agent]["action_mask"]))
        actions = env.scripted_actions({"type": "release_all"})
        assert actions.keys() == set(LEARNERS)
        assert any(action.any() for action in actions.values())
        env.step(actions)

    @pytest.mark.parametrize("action_mode", ["slots", "fraction"])
    @pytest.mark.parametrize(
        ("scenario", "learners"), [("five_bank", LEARNERS), ("castro_three_period", None)]
    )
    def test_it_turns_into_an_aec_environment(
        self, scenario: str, learners: Any, action_mode: ActionMode
    ) -> None:
        """The checker samples with the masks; its warnings are about names and `MultiDiscrete`."""
        env = parallel_env(scenario, learners, action_mode=action_mode)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "We recommend agents to be named")
            warnings.filterwarnings("ignore", "Action space for each agent probably should be")
            api_test(parallel_to_aec(env), num_cycles=200)
        seed_test(lambda: parallel_to_aec(parallel_env(scenario, learners, action_mode=action_mode)))

    @pytest.mark.parametrize("action_mode", ["slots", "fraction"])
    def test_every_info_has_the_same_keys(self, action_mode: ActionMode) -> None:
        """Libraries allocate the infos of a whole rollout from those of the first reset."""
        env = parallel_env("five_bank", LEARNERS, action_mode=action_mode)
        _, infos = env.reset(seed=0)
        expected = kinds(infos["CORE_A"])
        costs = dict.fromkeys(LEARNERS, 0)
        while env.agents:
            actions = {
                agent: env.action_space(agent).sample(mask=infos[agent]["action_mask"]) for agent in LEARNERS
            }
            *_, infos = env.step(actions)
            for agent, info in infos.items():
                assert kinds(info) == expected
                assert info["illegal_actions"] == 0
                costs[agent] += sum(info[key] for key in COST_KEYS)
                assert info["episode_cost"] == costs[agent]
        assert all(costs.values())


class TestErrors:
    @pytest.mark.parametrize(
        ("learners", "start"),
        [
            (["NOBODY"], "learner = ('NOBODY',): must be one or several of CORE_A, "),
            (["CORE_A", "CORE_A"], "learner = ('CORE_A', 'CORE_A'): must be one or several of CORE_A, "),
            ([], "learner = (): must be one or several of CORE_A, "),
        ],
    )
    def test_wrong_learners(self, learners: Any, start: str) -> None:
        with pytest.raises(ValueError, match=re.escape(start)):
            parallel_env("five_bank", learners)

    def test_one_name_is_one_learner(self) -> None:
        assert parallel_env("five_bank", "CORE_B").possible_agents == ["CORE_B"]

    def test_a_single_environment_has_one_learner(self) -> None:
        with pytest.raises(ValueError, match=r"^learner = \['CORE_A', 'CORE_B'\]: must be one bank"):
            PaymentEnv("five_bank", ["CORE_A", "CORE_B"])  # type: ignore[arg-type]

    def test_rows_must_make_whole_systems(self) -> None:
        with pytest.raises(ValueError, match=r"^num_envs = 4: must be a multiple of 3"):
            PaymentVectorEnv(4, "five_bank", LEARNERS)

    def test_the_learner_of_several_is_not_one(self) -> None:
        with pytest.raises(AttributeError, match="there are several"):
            _ = PaymentVectorEnv(3, "five_bank", LEARNERS).learner

    def test_only_one_learner_is_evaluated(self) -> None:
        with pytest.raises(ValueError, match=r"^learner = .*must be one bank"):
            evaluate(
                lambda env: PPO("MlpPolicy", PaymentVecEnv(env)),
                "five_bank",
                range(3),
                learner=LEARNERS,  # type: ignore[arg-type]
            )

    @pytest.mark.parametrize(
        ("actions", "error", "message"),
        [
            ({}, ValueError, "actions have keys .none.: must be CORE_A, SMALL_D, CORE_B"),
            ({"CORE_A": np.zeros(8, int)}, ValueError, "actions have keys CORE_A: must be CORE_A"),
            (dict.fromkeys([*LEARNERS, "CORE_Z"], np.zeros(8, int)), ValueError, "CORE_Z: must be"),
            (dict.fromkeys(LEARNERS, np.zeros(7, int)), ValueError, r"shape \(7,\): must be \(8,\)"),
            (dict.fromkeys(LEARNERS, np.zeros(8)), ValueError, "float64: must be integers"),
            (by_agent(np.eye(3, 8, dtype=int) * 9), ActionError, "environment 0, bank CORE_A, slot 0"),
        ],
    )
    def test_wrong_actions_change_nothing(self, actions: Any, error: type[Exception], message: str) -> None:
        env = parallel_env("five_bank", LEARNERS)
        with pytest.raises(ResetNeeded):
            env.step(actions)
        env.reset(seed=0)
        before = env.save_state()
        with pytest.raises(error, match=message):
            env.step(actions)
        assert env.save_state() == before

    @pytest.mark.parametrize("mask", [[True, False, False], [True, True, False], [False, True, True]])
    def test_a_system_is_reset_whole(self, mask: list[bool]) -> None:
        env = PaymentVectorEnv(6, "five_bank", LEARNERS)
        env.reset(seed=0)
        options = {"reset_mask": np.array([*mask, True, True, True])}
        with pytest.raises(ValueError, match="must name all 3 rows of a system, or none"):
            env.reset(options=options)


class TestRows:
    @pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
    def test_rows_equal_parallel_environments(self, mode: str) -> None:
        """Masked resets desynchronise the systems; includes ends and next episodes."""
        fleet = PaymentVectorEnv(6, "five_bank", LEARNERS, autoreset_mode=mode)
        systems = [PaymentParallelEnv("five_bank", LEARNERS) for _ in range(2)]
        observations, infos = fleet.reset(seed=[7, 0, 0, 9, 0, 0])
        for system, seed in enumerate((7, 9)):
            first, first_infos = systems[system].reset(seed=seed)
            for learner, agent in enumerate(LEARNERS):
                row = 3 * system + learner
                assert_same(observations[row].copy(), first[agent])
                assert_same(
                    infos["action_mask"][row].copy(), np.concatenate(first_infos[agent]["action_mask"])
                )
        for step, batch in enumerate(random_actions(3 * TICKS, 6)):
            if step == 10:
                fleet.reset(options={"reset_mask": np.repeat([False, True], 3)})
                systems[1].reset()
            observations, rewards, terminated, _, infos = fleet.step(batch)
            for system, env in enumerate(systems):
                rows = slice(3 * system, 3 * system + 3)
                if not env.agents:
                    first, _ = env.reset()
                    assert_same(observations[rows], np.stack(list(first.values())))
                    continue
                seen, paid, ends, _, told = env.step(by_agent(batch[rows]))
                assert rewards[rows].tolist() == list(paid.values())
                assert terminated[rows].tolist() == list(ends.values())
                is_last = mode == "SameStep" and not env.agents
                shown = np.stack(list(infos["final_obs"][rows])) if is_last else observations[rows]
                assert_same(shown, np.stack(list(seen.values())))
                infos_of_step = infos["final_info"] if is_last else infos
                costs = [info["cost_delay"] for info in told.values()]
                assert infos_of_step["cost_delay"][rows].tolist() == costs
                if is_last:
                    assert_same(observations[rows], np.stack(list(env.reset()[0].values())))

    def test_an_int_seeds_a_system_by_its_first_row(self) -> None:
        fleet = PaymentVectorEnv(6, "five_bank", LEARNERS)
        by_int, _ = fleet.reset(seed=20)
        by_list, _ = fleet.reset(seed=[20, 1, 1, 23, 1, 1])
        assert_same(by_int, by_list)

    def test_threads_do_not_matter(self) -> None:
        def play(num_threads: int) -> list[bytes]:
            env = PaymentVectorEnv(3 * 40, "five_bank", LEARNERS, num_threads=num_threads)
            bits = [env.reset(seed=0)[0].tobytes()]
            for batch in random_actions(20, 120):
                bits += [part.tobytes() for part in env.step(batch)[:4]]
            return bits

        assert play(1) == play(2)

    def test_a_saved_system_is_taken_up_in_all_its_rows(self) -> None:
        fleet = PaymentVectorEnv(6, "five_bank", LEARNERS)
        fleet.reset(seed=0)
        batches = random_actions(20, 3)
        for batch in batches[:10]:
            fleet.step(np.concatenate([batch, batch[::-1]]))
        observation, info = fleet.restore_state(4, fleet.save_state(2))
        masks = fleet.action_masks()
        assert np.array_equal(masks[:3], masks[3:])
        assert np.array_equal(np.concatenate(info["action_mask"]), masks[1])
        for batch in batches[10:]:
            observations, rewards, *_ = fleet.step(np.concatenate([batch, batch]))
            assert np.array_equal(observations[:3], observations[3:])
            assert np.array_equal(rewards[:3], rewards[3:])
        assert observation.shape == fleet.single_observation_space.shape

    def test_one_policy_is_shared_by_all_learners(self) -> None:
        venv = PaymentVecEnv(PaymentVectorEnv(6, "five_bank", LEARNERS, autoreset_mode="SameStep"))
        model = PPO("MlpPolicy", venv, n_steps=24, batch_size=48, n_epochs=1, seed=0)
        model.learn(6 * 48)
        assert model.num_timesteps == 6 * 48
