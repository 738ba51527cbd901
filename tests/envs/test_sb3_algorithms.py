"""Training, evaluation and loading with Stable-Baselines3 and sb3-contrib."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked_policy
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from paysim_gym import ActionError, PaymentVectorEnv
from paysim_gym.envs.sb3 import PaymentVecEnv

ROWS, STEPS = 16, 3072


def payment_venv(num_envs: int = ROWS, **arguments: Any) -> PaymentVecEnv:
    return PaymentVecEnv(PaymentVectorEnv(num_envs, autoreset_mode="SameStep", **arguments))


ALGORITHMS: dict[str, Callable[[VecEnv], Any]] = {
    "PPO": lambda env: PPO("MlpPolicy", env, n_steps=96, batch_size=768, n_epochs=2, seed=0),
    "A2C": lambda env: A2C("MlpPolicy", env, n_steps=16, seed=0),
    "DQN": lambda env: DQN("MlpPolicy", env, learning_starts=256, buffer_size=5_000, seed=0),
    "MaskablePPO": lambda env: MaskablePPO("MlpPolicy", env, n_steps=96, batch_size=768, n_epochs=2, seed=0),
    "RecurrentPPO": lambda env: RecurrentPPO(
        "MlpLstmPolicy",
        env,
        n_steps=96,
        batch_size=768,
        n_epochs=1,
        policy_kwargs={"lstm_hidden_size": 16},
        seed=0,
    ),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread: small networks are slow with two on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters_of(model: BaseAlgorithm) -> list[Any]:
    return [tensor.detach().numpy().copy() for tensor in model.policy.parameters()]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithm_trains_saves_and_loads(name: str, tmp_path: Path) -> None:
    mode = "fraction" if name == "DQN" else "slots"
    venv = VecNormalize(VecMonitor(payment_venv(action_mode=mode)))
    model = ALGORITHMS[name](venv)
    before = parameters_of(model)
    model.learn(STEPS)
    assert model.num_timesteps >= STEPS
    assert any(not np.array_equal(old, new) for old, new in zip(before, parameters_of(model), strict=True))
    assert all(np.isfinite(part).all() for part in parameters_of(model))
    episodes = list(model.ep_info_buffer)
    assert len(episodes) == STEPS // 48 // ROWS * ROWS
    assert all(episode["l"] == 48 and episode["r"] < 0 for episode in episodes)

    model.save(tmp_path / "model")
    venv.save(str(tmp_path / "normalisation"))
    fresh = VecNormalize.load(str(tmp_path / "normalisation"), payment_venv(action_mode=mode))
    fresh.training = False
    loaded = type(model).load(tmp_path / "model", env=fresh)
    fresh.seed(5)
    observations = fresh.reset()
    masks = {"action_masks": get_action_masks(fresh)} if name == "MaskablePPO" else {}
    ours, _ = model.predict(observations, deterministic=True, **masks)
    theirs, _ = loaded.predict(observations, deterministic=True, **masks)
    assert np.array_equal(ours, theirs)
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded.num_timesteps > model.num_timesteps


def test_a_maskable_policy_never_does_what_is_illegal() -> None:
    venv = payment_venv(strict=True)
    assert is_masking_supported(venv)
    model = ALGORITHMS["MaskablePPO"](venv)
    model.learn(STEPS)  # an illegal action would raise
    returns, _ = evaluate_masked_policy(model, venv, n_eval_episodes=ROWS, warn=False)
    assert np.mean(returns) < 0


def test_a_policy_without_masks_meets_illegal_actions() -> None:
    with pytest.raises(ActionError):
        ALGORITHMS["PPO"](payment_venv(strict=True)).learn(STEPS)


@pytest.mark.parametrize("normalise", [False, True])
def test_callback_evaluates_and_keeps_the_best(normalise: bool, tmp_path: Path) -> None:
    def wrap(venv: VecEnv, training: bool) -> VecEnv:
        return VecNormalize(venv, training=training, norm_reward=training) if normalise else venv

    venv, eval_venv = (wrap(VecMonitor(payment_venv()), training) for training in (True, False))
    eval_venv.seed(1_000)
    callback = EvalCallback(
        eval_venv,
        n_eval_episodes=ROWS,
        eval_freq=96,
        best_model_save_path=str(tmp_path),
        log_path=str(tmp_path),
        verbose=0,
    )
    model = ALGORITHMS["PPO"](venv)
    model.learn(STEPS, callback=callback)
    assert (tmp_path / "best_model.zip").exists()
    results = np.load(tmp_path / "evaluations.npz")["results"]
    assert results.shape == (2, ROWS)
    assert callback.best_mean_reward == results.mean(axis=1).max()
    best = PPO.load(tmp_path / "best_model")
    assert np.mean(evaluate_policy(best, eval_venv, n_eval_episodes=ROWS, warn=False)[0]) < 0


def test_a_step_limit_reaches_the_bootstrapping_of_the_algorithm() -> None:
    """Only truncated episodes bootstrap from the value of the terminal observation."""
    valued: list[Any] = []
    for limit in (None, 20):
        model = ALGORITHMS["PPO"](payment_venv(max_episode_steps=limit))
        calls: list[Any] = []
        predict_values = model.policy.predict_values
        model.policy.predict_values = lambda obs, ask=predict_values, calls=calls: (
            calls.append(obs.shape) or ask(obs)
        )
        model.learn(96 * ROWS)
        valued.append(calls.count((1, model.observation_space.shape[0])))
    assert valued == [0, 96 // 20 * ROWS]
