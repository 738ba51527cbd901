"""All environments return the same arrays, bit for bit, on random days."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray
from same import assert_same, flat_masks

from paysim_gym import PaymentEnv, PaymentVectorEnv

ROWS, DAYS, TICKS, SEED = 4, 25, 48, 20_240
STEPS = DAYS * TICKS


def random_actions(steps: int, rows: int = ROWS) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(4, size=(steps, rows, 8))


def row_info(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """One row's info, undoing Gymnasium's batching."""
    info: dict[str, Any] = {}
    for key, value in infos.items():
        if not key.startswith("_") and infos[f"_{key}"][row]:
            is_mapping, is_number = isinstance(value, dict), getattr(value, "ndim", 0) == 1
            info[key] = row_info(value, row) if is_mapping else value[row].item() if is_number else value[row]
    return info


def sync_of_singles(mode: AutoresetMode) -> SyncVectorEnv:
    return SyncVectorEnv([PaymentEnv] * ROWS, autoreset_mode=mode)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_native_fleet_equals_sync_vector_env(mode: AutoresetMode) -> None:
    native, sync = PaymentVectorEnv(ROWS, autoreset_mode=mode), sync_of_singles(mode)
    assert native.observation_space == sync.observation_space
    assert native.action_space == sync.action_space
    assert_same(native.reset(seed=SEED), flat_masks(sync.reset(seed=SEED)))
    steps = STEPS + DAYS if mode is AutoresetMode.NEXT_STEP else STEPS
    for step, actions in enumerate(random_actions(steps)):
        assert_same(native.step(actions), flat_masks(sync.step(actions)), f"step {step}")


def test_native_fleet_equals_sync_vector_env_without_autoreset() -> None:
    """Rows are also reset within their days, so that they end separately."""
    native, sync = PaymentVectorEnv(ROWS, autoreset_mode="Disabled"), sync_of_singles(AutoresetMode.DISABLED)
    assert_same(native.reset(seed=SEED), flat_masks(sync.reset(seed=SEED)))
    rng = np.random.default_rng(2)
    for step, actions in enumerate(random_actions(STEPS)):
        ours: Any = native.step(actions)
        theirs: Any = flat_masks(sync.step(actions))
        assert_same(ours, theirs, f"step {step}")
        mask = ours[2] | ours[3] | (rng.random(ROWS) < 0.01)
        if mask.any():
            seed = None if rng.random() < 0.5 else step
            assert_same(
                native.reset(seed=seed, options={"reset_mask": mask.copy()}),
                flat_masks(sync.reset(seed=seed, options={"reset_mask": mask.copy()})),
                f"reset after step {step}",
            )


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_staggered_rows_equal_sync_vector_env(mode: AutoresetMode) -> None:
    """Masked resets desynchronise the rows, so that each ends separately."""
    native, sync = PaymentVectorEnv(ROWS, autoreset_mode=mode), sync_of_singles(mode)
    assert_same(native.reset(seed=SEED), flat_masks(sync.reset(seed=SEED)))
    for step, actions in enumerate(random_actions(6 * TICKS)):
        assert_same(native.step(actions), flat_masks(sync.step(actions)), f"step {step}")
        if step < ROWS * 5 and step % 5 == 0:
            mask = np.arange(ROWS) == step // 5
            assert_same(
                native.reset(options={"reset_mask": mask.copy()}),
                flat_masks(sync.reset(options={"reset_mask": mask.copy()})),
            )


def test_rows_equal_single_environments() -> None:
    fleet = PaymentVectorEnv(ROWS)
    actions = random_actions(STEPS + DAYS)
    observations, infos = fleet.reset(seed=SEED)
    returned: list[Any] = [fleet.step(batch) for batch in actions]
    for row in range(ROWS):
        env = PaymentEnv()
        assert_same(flat_masks(env.reset(seed=SEED + row)), (observations[row].copy(), row_info(infos, row)))
        over = False
        for batch, (observation, reward, terminated, truncated, info) in zip(actions, returned, strict=True):
            expected = (
                observation[row],
                float(reward[row]),
                bool(terminated[row]),
                bool(truncated[row]),
                row_info(info, row),
            )
            if over:
                first, first_info = flat_masks(env.reset())
                assert_same((first, 0.0, False, False, first_info), expected)
                over = False
            else:
                assert_same(flat_masks(env.step(batch[row])), expected)
                over = expected[2]


def test_rows_do_not_depend_on_their_neighbours() -> None:
    actions = random_actions(STEPS, rows=7)
    wide, narrow = PaymentVectorEnv(7), PaymentVectorEnv(2)
    assert_same(wide.reset(seed=list(range(7)))[0][[5, 2]], narrow.reset(seed=[5, 2])[0])
    for batch in actions:
        ours, theirs = wide.step(batch), narrow.step(batch[[5, 2]])
        assert_same([part[[5, 2]] for part in ours[:4]], list(theirs[:4]))


def test_sb3_view_equals_the_fleet_and_a_dummy_vec_env() -> None:
    """Skipped if Ray is installed, which needs another version of Gymnasium."""
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.vec_env import DummyVecEnv

    from paysim_gym.envs.sb3 import PaymentVecEnv

    fleet = PaymentVectorEnv(ROWS, autoreset_mode=AutoresetMode.SAME_STEP)
    view = PaymentVecEnv(PaymentVectorEnv(ROWS, autoreset_mode=AutoresetMode.SAME_STEP))
    dummy = DummyVecEnv([PaymentEnv] * ROWS)
    view.seed(SEED)
    dummy.seed(SEED)
    first = view.reset()
    assert_same(first, dummy.reset())
    assert_same(first, fleet.reset(seed=SEED)[0])
    assert_same(view.reset_infos, dummy.reset_infos)
    for actions in random_actions(STEPS):
        observations, rewards, dones, infos = view.step(actions)
        dummy_observations, dummy_rewards, dummy_dones, dummy_infos = dummy.step(actions)
        fleet_observations, fleet_rewards, terminated, truncated, _ = fleet.step(actions)
        assert_same([observations, rewards, dones], [dummy_observations, dummy_rewards, dummy_dones])
        assert_same([observations, dones], [fleet_observations, terminated | truncated])
        assert_same(rewards, fleet_rewards.astype(np.float32))
        for info, dummy_info, done in zip(infos, dummy_infos, dones, strict=True):
            assert_same(info, {key: dummy_info[key] for key in info})
            assert bool(info) is bool(done)
        assert_same(view.reset_infos, dummy.reset_infos)
        assert_same(view.env_method("action_masks"), dummy.env_method("action_masks"))


def test_threads_do_not_matter() -> None:
    def play(num_threads: int) -> list[bytes]:
        env = PaymentVectorEnv(67, "five_bank", num_threads=num_threads)
        observations, _ = env.reset(seed=SEED)
        bits = [observations.tobytes()]
        for actions in random_actions(3 * TICKS, rows=67):
            *outcome, infos = env.step(actions)
            bits += [part.tobytes() for part in outcome] + [infos["action_mask"].tobytes()]
        return bits

    assert play(1) == play(2) == play(4)


def test_worker_processes_equal_the_fleet() -> None:
    workers: VectorEnv[Any, Any, Any] = gym.make_vec(
        "paysim_gym:PaySim/TwoBank-v1",
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"context": "spawn"},
    )
    try:
        native = PaymentVectorEnv(2)
        assert_same(native.reset(seed=SEED), flat_masks(workers.reset(seed=SEED)))
        for step, actions in enumerate(random_actions(2 * TICKS, rows=2)):
            assert_same(native.step(actions), flat_masks(workers.step(actions)), f"step {step}")
    finally:
        workers.close()
