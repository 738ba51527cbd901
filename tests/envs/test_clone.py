"""Saved states continue bit for bit, or with a seed into a new future."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from same import assert_same, without_totals

from paysim_gym import PaymentEnv, PaymentVectorEnv, load_scenario
from paysim_gym.envs.infos import reset_info
from paysim_gym.envs.parallel import parallel_env
from paysim_gym.scenario.loader import bundled_scenarios

SCENARIOS = bundled_scenarios()
SEED = 50_123


def learner(scenario: str) -> str:
    """The first bank that learns."""
    return next(agent.id for agent in load_scenario(scenario).agents if agent.policy.type == "learner")


def make(scenario: str = "two_bank", **settings: Any) -> PaymentEnv:
    return PaymentEnv(scenario, settings.pop("learner", learner(scenario)), **settings)


def started(scenario: str = "two_bank", steps: int = 0, **settings: Any) -> PaymentEnv:
    """An environment after some random steps."""
    env = make(scenario, **settings)
    env.reset(seed=SEED)
    play(env, actions(env, steps))
    return env


def actions(env: PaymentEnv, steps: int, seed: int = 3) -> list[Any]:
    """Random actions, legal and illegal."""
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(steps)]


def play(env: PaymentEnv, given: list[Any]) -> list[Any]:
    """The results of the steps until the end."""
    steps = []
    for action in given:
        steps.append(env.step(action))
        if steps[-1][2]:
            break
    return steps


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_state_of_every_scenario_goes_on_where_it_is_restored(scenario: str) -> None:
    env, other = make(scenario), make(scenario)
    fleet = PaymentVectorEnv(3, scenario, learner(scenario), autoreset_mode="Disabled")
    observation, info = env.reset(seed=SEED)
    other.reset(seed=0)
    fleet.reset(seed=7)
    given, states = actions(env, 1_000), []
    steps: list[Any] = []
    ended = False
    while not ended:
        states.append(env.save_state())
        for restored in (other.restore_state(states[-1]), fleet.restore_state(1, states[-1])):
            assert_same(restored, (observation, reset_info(info["action_mask"])))
        assert np.array_equal(other.action_masks(), np.concatenate(info["action_mask"]))
        # Steps between saving and restoring have no effect: `other` passes through every state on its own.
        steps.append(env.step(given[len(steps)]))
        assert_same(other.step(given[len(steps) - 1]), steps[-1])
        observation, _, ended, _, info = steps[-1]
    end = env.save_state()
    for first in {0, 1, len(steps) // 2, len(steps) - 1}:
        for env_again in (env, other):
            env_again.restore_state(states[first])
            assert_same(play(env_again, given[first:]), steps[first:])
            assert env_again.save_state() == end


@pytest.mark.parametrize("settings", [{"action_mode": "fraction"}, {"decides": "payments"}, {"slots": 2}])
def test_openings_are_saved_in_every_mode(settings: dict[str, Any]) -> None:
    env, other = started("castro_three_period", **settings), started("castro_three_period", 2, **settings)
    given = actions(env, 4)
    other.restore_state(env.save_state())
    assert_same(play(env, given), play(other, given))


def test_an_ended_episode_is_restored_as_ended_and_followed_by_its_next_one() -> None:
    env, other = started(steps=48), started(steps=5)
    _, info = other.restore_state(env.save_state())
    with pytest.raises(RuntimeError, match="over"):
        other.step(actions(other, 1)[0])
    assert np.array_equal(np.concatenate(info["action_mask"]), env.action_masks())
    assert_same(other.reset(), env.reset())
    assert_same(play(other, actions(env, 48)), play(env, actions(env, 48)))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_rows_go_on_in_other_rows(mode: AutoresetMode) -> None:
    fleets = [PaymentVectorEnv(3, "castro_three_period", "A", autoreset_mode=mode) for _ in range(2)]
    for number, fleet in enumerate(fleets):
        fleet.reset(seed=number)
    one, other = fleets
    one.action_space.seed(0)
    for _ in range(20):
        if mode is AutoresetMode.DISABLED and one.ended.any():
            for fleet in fleets:
                fleet.reset()
        for row in range(3):
            other.restore_state((row + 1) % 3, one.save_state(row))
        batch = one.action_space.sample()
        ours, theirs = one.step(batch), other.step(np.roll(batch, 1, axis=0))
        assert_same([part[:3] for part in ours[:4]], [np.roll(part, -1, axis=0) for part in theirs[:4]])
        assert_same(ours[4]["action_mask"], np.roll(theirs[4]["action_mask"], -1, axis=0))


SCRIPT = """
import hashlib, sys
from paysim_gym import PaymentEnv
env = PaymentEnv("two_bank")
env.reset(seed=1)
env.restore_state(sys.stdin.buffer.read())
env.action_space.seed(4)
digest, ended = hashlib.sha256(), False
while not ended:
    observation, reward, ended, _, info = env.step(env.action_space.sample())
    digest.update(repr((observation.tobytes(), reward, ended, info)).encode())
print(digest.hexdigest())
"""


def test_another_process_goes_on() -> None:
    env = started(steps=20)
    run = subprocess.run([sys.executable, "-c", SCRIPT], input=env.save_state(), capture_output=True)
    digest = hashlib.sha256()
    for observation, reward, ended, _, info in play(env, actions(env, 48, seed=4)):
        digest.update(repr((observation.tobytes(), reward, ended, info)).encode())
    assert run.stdout.decode().strip() == digest.hexdigest(), run.stderr.decode()


def test_slots_and_action_mode_are_no_part_of_a_state() -> None:
    env, other = started(steps=9), started(steps=1, action_mode="fraction", slots=3)
    state = env.save_state()
    other.restore_state(state)
    assert other.save_state() == state


def flipped(state: bytes) -> bytes:
    place = len(state) // 2
    return state[:place] + bytes([state[place] ^ 1]) + state[place + 1 :]


REFUSED: dict[str, tuple[Callable[[bytes], Any], str]] = {
    "another scenario": (
        lambda _: started("five_bank").save_state(),
        "another scenario: .* must be",
    ),
    "an earlier version": (
        lambda state: b"PAYSIM04" + state[8:],
        "not a saved state of this version of the engine: .* must begin with PAYSIM05",
    ),
    "another learner": (
        lambda _: started(learner="BANK_B").save_state(),
        "another decision process: learners, decides and max_episode_steps must be the same",
    ),
    "another decision": (lambda _: started(decides="payments").save_state(), "another decision process"),
    "another limit": (lambda _: limited().save_state(), "another decision process"),
    "damaged": (flipped, "damaged: the state's checksum"),
    "truncated": (lambda state: state[:-1], "damaged"),
    "longer": (lambda state: state + b"\0", "damaged"),
    "random": (lambda state: np.random.default_rng(0).bytes(len(state)), "not a saved state"),
    "empty": (lambda _: b"", "not a saved state"),
    "text": (lambda _: "PAYSIM04", "state = 'PAYSIM04': must be the bytes that save_state returned"),
    "nothing": (lambda _: None, "state = None: must be the bytes"),
    "a list": (lambda state: list(state), "must be the bytes"),
}


def limited() -> PaymentVectorEnv:
    fleet = PaymentVectorEnv(1, "two_bank", max_episode_steps=48)
    fleet.reset(seed=0)
    return fleet


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_state_of_this_system_is_refused_and_changes_nothing(name: str) -> None:
    forge, message = REFUSED[name]
    env, twin = started(steps=12), started(steps=12)
    before = env.save_state()
    with pytest.raises(ValueError, match=message):
        env.restore_state(forge(before))
    assert env.save_state() == before
    assert_same(play(env, actions(env, 48)), play(twin, actions(twin, 48)))


@pytest.mark.parametrize("seed", [-1, 2**64, True, 1.0, "1"])
def test_a_wrong_seed_is_refused_and_changes_nothing(seed: Any) -> None:
    env, state = started(steps=12), started(steps=3).save_state()
    before = env.save_state()
    with pytest.raises(ValueError, match=r"seed = .*: must be an integer between 0 and"):
        env.restore_state(state, seed=seed)
    assert env.save_state() == before


def test_nothing_is_saved_or_restored_before_the_first_reset() -> None:
    env, state = make(), started().save_state()
    for call in (env.save_state, lambda: env.restore_state(state)):
        with pytest.raises(ResetNeeded, match="call reset before"):
            call()


def observations(steps: list[Any]) -> NDArray[np.float32]:
    return np.array([step[0] for step in steps])


def test_a_seed_draws_another_future_of_the_same_past() -> None:
    env = started(steps=10)
    state, given = env.save_state(), actions(env, 48)
    past = env.restore_state(state)
    own = observations(play(env, given))
    futures = []
    for seed in (0, 0, 1, SEED, 2**64 - 1):
        assert_same(env.restore_state(state, seed=seed), past)
        futures.append(observations(play(env, given)))
    assert_same(futures[0], futures[1])
    # Not even the seed of the episode restores the original future.
    assert len({future.tobytes() for future in [own, *futures]}) == 5


def test_the_same_seed_brings_the_same_future_to_every_row_and_adapter() -> None:
    state = started(steps=10).save_state()
    fleet = PaymentVectorEnv(3, "two_bank")
    fleet.reset(seed=0)
    for row in range(3):
        fleet.restore_state(row, state, seed=row // 2)
    env = started(steps=10)
    _, info = env.restore_state(state, seed=0)
    view = parallel_env("two_bank", ["BANK_A"])
    view.reset(seed=3)
    _, infos = view.restore_state(state, seed=0)
    assert_same(without_totals(infos["BANK_A"]), info)
    for action in actions(env, 20):
        observation = env.step(action)[0]
        rows = fleet.step(np.array([action] * 3))[0]
        assert_same(rows[0], observation)
        assert_same(rows[1], observation)
        assert_same(view.step({"BANK_A": action})[0]["BANK_A"], observation)
    assert (rows[2] != observation).any()


@pytest.mark.parametrize("scenario", ["castro_three_period", "replayed_days", "gridlock"])
def test_scheduled_and_replayed_payments_come_in_every_future(scenario: str) -> None:
    assert all(agent.arrival_config is None for agent in load_scenario(scenario).agents)
    env, other = started(scenario, steps=1), started(scenario)
    given = actions(env, 100)
    other.restore_state(env.save_state(), seed=5)
    assert_same(play(other, given), play(env, given))


def test_the_next_episode_is_the_same_after_every_future() -> None:
    env, other = started(steps=10), started()
    other.restore_state(env.save_state(), seed=5)
    play(env, actions(env, 48))
    assert_same(other.reset(), env.reset())
    assert other.save_state() == env.save_state()


def test_a_reseeded_state_is_saved_with_its_future() -> None:
    env, other = started(steps=10), started()
    env.restore_state(env.save_state(), seed=5)
    other.restore_state(env.save_state())
    assert_same(play(other, actions(env, 48)), play(env, actions(env, 48)))


COPIES: list[Callable[[Any], Any]] = [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))]


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("scenario", ["two_bank", "replayed_days", "castro_three_period"])
@pytest.mark.parametrize("steps", [0, 3, 1_000])
def test_a_copy_goes_on_by_itself(copied: Callable[[Any], Any], scenario: str, steps: int) -> None:
    env, twin = started(scenario, steps), started(scenario, steps)
    clone = copied(env)
    assert_same(clone.action_masks(), env.action_masks())
    if steps == 1_000:
        with pytest.raises(RuntimeError, match="over"):
            clone.step(actions(env, 1)[0])
        assert_same(clone.reset(), twin.reset())
    assert_same(play(clone, actions(env, 30)), play(twin, actions(env, 30)))
    # Steps of the copy do not change the original.
    untouched = started(scenario, steps)
    assert env.save_state() == untouched.save_state()


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_before_the_first_reset_draws_the_same_seed(copied: Callable[[Any], Any]) -> None:
    env = make()
    env.np_random = np.random.default_rng(5)
    clone = copied(env)
    assert_same(clone.reset(), env.reset())


@pytest.mark.parametrize("copied", COPIES)
def test_a_wrapped_environment_is_copied_with_its_wrappers(copied: Callable[[Any], Any]) -> None:
    env = gym.make("paysim_gym:PaySim/TwoBank-v1", max_episode_steps=4)
    env.reset(seed=1)
    action = np.ones(8, np.int64)
    env.step(action)
    clone = copied(env)
    for expected in [False, False, True]:
        step = env.step(action)
        assert_same(clone.step(action), step)
        assert step[3] is expected


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("mode", ["human", "rgb_array", "ansi"])
def test_a_copy_shows_the_day_too(copied: Callable[[Any], Any], mode: str) -> None:
    env = gym.make("PaySim/TwoBank-v1", render_mode=mode)
    env.reset(seed=1)
    clone = copied(env)
    for one in (env, clone):
        one.step(np.ones(8, np.int64))
    assert_same(clone.render(), env.render())
    env.close()
    clone.close()


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_fleet_of_several_learners_is_copied(copied: Callable[[Any], Any], mode: AutoresetMode) -> None:
    fleet = PaymentVectorEnv(4, "five_bank", ["SMALL_C", "CORE_A"], autoreset_mode=mode, max_episode_steps=9)
    fleet.reset(seed=2)
    fleet.action_space.seed(0)
    for _ in range(25):
        clone = copied(fleet)
        assert clone.autoreset_mode is mode
        if mode is AutoresetMode.DISABLED and fleet.ended.any():
            assert_same(clone.reset(), fleet.reset())
        batch = fleet.action_space.sample()
        assert_same(clone.step(batch), fleet.step(batch))
        assert_same(clone.action_masks(), fleet.action_masks())
