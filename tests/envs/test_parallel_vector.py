"""Many systems of several learners, with arrays by agent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from numpy.typing import NDArray
from same import assert_same

from paysim_gym import ActionError, EpisodeOverError, PaymentVectorEnv
from paysim_gym.envs import PaymentParallelVectorEnv
from paysim_gym.envs.env_arguments import ActionMode
from paysim_gym.envs.parallel import parallel_env
from paysim_gym.evaluation import evaluate

LEARNERS = ["CORE_A", "SMALL_D", "CORE_B"]
SYSTEMS = 3
STEPS = 130  # more than two days of five_bank


def stacked(parts: list[dict[str, Any]], agent: str) -> NDArray[Any]:
    return np.stack([np.asarray(part[agent]) for part in parts])


class TestEquality:
    @pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
    @pytest.mark.parametrize("action_mode", ["slots", "fraction"])
    def test_systems_equal_parallel_environments(self, mode: str, action_mode: ActionMode) -> None:
        """A masked reset moves one system out of step with the others."""
        arguments: dict[str, Any] = {"action_mode": action_mode, "learners": LEARNERS}
        fleet = PaymentParallelVectorEnv(SYSTEMS, "five_bank", autoreset_mode=mode, **arguments)
        systems = [parallel_env("five_bank", **arguments) for _ in range(SYSTEMS)]
        observations, infos = fleet.reset(seed=40)
        first = [system.reset(seed=40 + index) for index, system in enumerate(systems)]
        self.compare(observations, infos, first)
        for agent in LEARNERS:
            fleet.action_space(agent).seed(1)
        for step in range(STEPS):
            if step == 10:
                fleet.reset(options={"reset_mask": np.array([False, True, False])})
                systems[1].reset()
            self.step(mode, fleet, systems)

    def step(self, mode: str, fleet: PaymentParallelVectorEnv, systems: list[Any]) -> None:
        if mode == "Disabled" and any(not system.agents for system in systems):
            ended = np.array([not system.agents for system in systems])
            observations, _ = fleet.reset(options={"reset_mask": ended})
            for index in np.flatnonzero(ended).tolist():
                for agent, first in systems[index].reset()[0].items():
                    assert_same(observations[agent][index].copy(), first)
        actions = {agent: fleet.action_space(agent).sample() for agent in LEARNERS}
        observations, rewards, terminated, truncated, infos = fleet.step(actions)
        for index, system in enumerate(systems):
            alone = {agent: actions[agent][index] for agent in LEARNERS}
            if not system.agents:  # NextStep: the action is ignored
                for agent, first in system.reset()[0].items():
                    assert_same(observations[agent][index].copy(), first)
                    assert rewards[agent][index] == 0
                continue
            seen, paid, ends, cuts, told = system.step(alone)
            is_shown_as_final = mode == "SameStep" and not system.agents
            for agent in LEARNERS:
                assert rewards[agent][index] == paid[agent]
                assert terminated[agent][index] == ends[agent]
                assert truncated[agent][index] == cuts[agent]
                info = infos[agent]
                last = info["final_obs"] if is_shown_as_final else observations[agent]
                assert_same(last[index].copy(), seen[agent])
                outcome = info["final_info"] if is_shown_as_final else info
                assert outcome["illegal_actions"][index] == told[agent]["illegal_actions"]
            if is_shown_as_final:
                for agent, first in system.reset()[0].items():
                    assert_same(observations[agent][index].copy(), first)

    def compare(self, observations: Any, infos: Any, alone: list[Any]) -> None:
        for agent in LEARNERS:
            assert_same(observations[agent], stacked([part[0] for part in alone], agent))
            masks = [np.concatenate(np.atleast_2d(part[1][agent]["action_mask"])) for part in alone]
            assert np.array_equal(infos[agent]["action_mask"], np.stack(masks))

    def test_rows_hold_the_same_values(self) -> None:
        fleet = PaymentParallelVectorEnv(2, "five_bank", LEARNERS)
        rows = PaymentVectorEnv(6, "five_bank", LEARNERS)
        by_agent, _ = fleet.reset(seed=[5, 9])
        by_row, _ = rows.reset(seed=[5, 5, 5, 9, 9, 9])
        for index, agent in enumerate(LEARNERS):
            assert_same(by_agent[agent], by_row[index::3].copy())
        actions = fleet.scripted_actions({"type": "release_all"})
        batch = rows.scripted_actions({"type": "release_all"})
        masks, row_masks = fleet.action_masks(), rows.action_masks()
        for index, agent in enumerate(LEARNERS):
            assert_same(actions[agent], batch[index::3].copy())
            assert_same(masks[agent], row_masks[index::3].copy())
        hold = dict.fromkeys(LEARNERS, np.zeros((2, 8), np.int64))
        for _ in range(20):
            rewards, row_rewards = fleet.step(hold)[1], rows.step(np.zeros((6, 8), np.int64))[1]
        assert all(rewards[agent].any() for agent in LEARNERS)
        for index, agent in enumerate(LEARNERS):
            assert_same(rewards[agent], row_rewards[index::3].copy())

    def test_spread_seeds_are_drawn_for_each_system(self) -> None:
        spread = PaymentParallelVectorEnv(4, "five_bank", LEARNERS, seeding="spread")
        one = PaymentVectorEnv(4, "five_bank", "CORE_A", seeding="spread")
        assert_same(spread.reset(seed=3)[0]["CORE_A"], one.reset(seed=3)[0])


class TestSpaces:
    def test_agents_and_spaces(self) -> None:
        fleet = PaymentParallelVectorEnv(4, "five_bank", LEARNERS)
        assert fleet.possible_agents == fleet.agents == LEARNERS
        assert PaymentParallelVectorEnv(2, "castro_two_period").agents == ["A", "B"]
        assert PaymentParallelVectorEnv(2, "five_bank", "CORE_B").agents == ["CORE_B"]
        observations, _ = fleet.reset(seed=0)
        for agent in LEARNERS:
            assert fleet.observation_space(agent) is fleet.observation_space(agent)
            assert fleet.observation_space(agent).contains(observations[agent])
            assert fleet.single_observation_space(agent).contains(observations[agent][0])
            assert fleet.action_space(agent).contains(fleet.scripted_actions({"type": "release_all"})[agent])
            assert fleet.action_space(agent).shape == (4, *(fleet.single_action_space(agent).shape or ()))
        assert fleet.action_space("CORE_A") is not fleet.action_space("CORE_B")

    def test_frames_are_by_agent(self) -> None:
        fleet = PaymentParallelVectorEnv(2, "five_bank", ["CORE_A", "CORE_B"], render_mode="ansi")
        fleet.reset(seed=0)
        frames = fleet.render()
        assert frames is not None
        for agent, shown in frames.items():
            assert len(shown) == 2
            assert all(agent in str(frame) for frame in shown)
        fleet.close()

    def test_the_caller_owns_the_arrays(self) -> None:
        fleet = PaymentParallelVectorEnv(2, "five_bank", LEARNERS)
        first, _ = fleet.reset(seed=0)
        kept = {agent: array.copy() for agent, array in first.items()}
        second = fleet.step(fleet.scripted_actions({"type": "release_all"}))[0]
        assert_same(first, kept)
        second["CORE_A"][:] = 7
        assert not (second["CORE_B"] == 7).all()


class TestErrors:
    def test_steps_need_a_reset(self) -> None:
        fleet = PaymentParallelVectorEnv(2, "five_bank", LEARNERS)
        with pytest.raises(ResetNeeded):
            fleet.step({})

    @pytest.mark.parametrize(
        ("actions", "error", "message"),
        [
            ({}, ValueError, r"actions have keys \(none\): must be CORE_A, SMALL_D, CORE_B"),
            (dict.fromkeys([*LEARNERS, "CORE_Z"], np.zeros((2, 8), int)), ValueError, "CORE_Z: must be"),
            (dict.fromkeys(LEARNERS, np.zeros((3, 8), int)), ValueError, r"shape \(3, 8\): must be \(2, 8\)"),
            (dict.fromkeys(LEARNERS, np.zeros((2, 8))), ValueError, "float64: must be integers"),
            (dict.fromkeys(LEARNERS, np.full((2, 8), 9)), ActionError, "environment 0, bank CORE_A, slot 0"),
        ],
    )
    def test_wrong_actions(self, actions: Any, error: type[Exception], message: str) -> None:
        fleet = PaymentParallelVectorEnv(2, "five_bank", LEARNERS)
        fleet.reset(seed=0)
        with pytest.raises(error, match=message):
            fleet.step(actions)

    def test_wrong_resets(self) -> None:
        fleet = PaymentParallelVectorEnv(2, "five_bank", LEARNERS)
        with pytest.raises(ValueError, match="seed has 6 entries: must have one for each of 2"):
            fleet.reset(seed=[0] * 6)
        fleet.reset(seed=0)
        for mask in (np.ones(6, bool), np.ones(2, int), np.zeros(2, bool)):
            with pytest.raises(ValueError, match="reset_mask = "):
                fleet.reset(options={"reset_mask": mask})

    @pytest.mark.parametrize("number", [0, -1, 1.5, True, None])
    def test_wrong_numbers(self, number: Any) -> None:
        with pytest.raises(ValueError, match=f"num_envs = {number}"):
            PaymentParallelVectorEnv(number, "five_bank", LEARNERS)

    def test_wrong_learners(self) -> None:
        for learners in ([], ["NOBODY"], ["CORE_A", "CORE_A"]):
            with pytest.raises(ValueError, match="must be one or several of CORE_A"):
                PaymentParallelVectorEnv(2, "five_bank", learners)

    def test_ended_systems_must_be_reset(self) -> None:
        fleet = PaymentParallelVectorEnv(
            2, "five_bank", LEARNERS, autoreset_mode="Disabled", max_episode_steps=1
        )
        fleet.reset(seed=0)
        actions = fleet.scripted_actions({"type": "release_all"})
        _, _, _, truncated, _ = fleet.step(actions)
        assert all(cut.all() for cut in truncated.values())
        with pytest.raises(EpisodeOverError):
            fleet.step(actions)

    def test_a_closed_fleet_raises(self) -> None:
        fleet = PaymentParallelVectorEnv(2, "five_bank", LEARNERS)
        fleet.reset(seed=0)
        actions = fleet.scripted_actions({"type": "release_all"})
        fleet.close()
        for call in (lambda: fleet.step(actions), fleet.reset, fleet.vector_env.totals):
            with pytest.raises(ClosedEnvironmentError):
                call()

    def test_it_is_not_evaluated_itself(self) -> None:
        with pytest.raises(
            TypeError, match=r"^policy = PaymentParallelVectorEnv: must have a method predict"
        ):
            evaluate(PaymentParallelVectorEnv(1, "five_bank", LEARNERS), "five_bank", [0])  # type: ignore[arg-type]
