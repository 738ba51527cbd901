"""Warm start: demonstrations, agreement of the policy, and reproducibility."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import invoke
from paysim_agents.hindsight import hindsight
from paysim_agents.scripted import scripted
from paysim_training.algorithms.imitation import demonstrate, demonstration_seeds
from paysim_training.core.config import TRAINING_SEEDS_END, ConfigError, TrainConfig, parse_config
from paysim_training.core.run_folder import RunFolder
from paysim_training.core.task import resolve_env
from stable_baselines3 import PPO

from paysim_gym import PaymentVectorEnv
from paysim_gym.evaluation import evaluate

ROLLOUT = 8 * 48
UNSEEN = range(2**40, 2**40 + 20)
TINY: dict[str, Any] = {
    "env": {"id": "PaySim/DeadlineLumps-v1"},
    "num_envs": 8,
    "torch_threads": 1,
    "timesteps": 2 * ROLLOUT,
    "checkpoint_every": ROLLOUT,
    "ppo": {"steps_per_rollout": 48, "batch_size": 96, "epochs": 1, "critic_layers": [16]},
    "warm_start": {"policy": "release_all", "days": 8, "epochs": 40, "batch_size": 64},
    "evaluation": {"first_seed": 2**40, "episodes": 4},
    "tuning": {"first_seed": 2**41, "episodes": 4},
}


def _config(**changes: Any) -> TrainConfig:
    config = parse_config({**TINY, **changes})
    return config.model_copy(update={"env": resolve_env(config.env)[0]})


def _demonstrated(**changes: Any) -> Any:
    config = _config(**changes)
    return demonstrate(config, resolve_env(config.env)[1])


def _warm_model(folder: Path, **changes: Any) -> tuple[PPO, dict[str, Any]]:
    """Returns a model after imitation, before the first update, and its report."""
    from paysim_training.algorithms.imitation import imitate
    from paysim_training.algorithms.ppo import _load_or_make, make_env

    config = _config(**changes)
    scenario = resolve_env(config.env)[1]
    model = _load_or_make(RunFolder(folder), config, make_env(config, scenario))
    return model, imitate(model, config, scenario)


def test_cloned_rule_plays_unseen_days_as_the_rule_does(tmp_path: Path) -> None:
    config = _config()
    scenario = resolve_env(config.env)[1]
    model, report = _warm_model(tmp_path)
    assert report["policy"] == {"type": "release_all"}
    assert report["agreement"] == 1.0
    learned = evaluate(lambda env: model, scenario, UNSEEN)
    rule = evaluate(scripted({"type": "release_all"}), scenario, UNSEEN)
    np.testing.assert_array_equal(learned.cost, rule.cost)


def test_critic_and_normaliser_begin_with_the_demonstrated_returns(tmp_path: Path) -> None:
    import torch

    model, _ = _warm_model(tmp_path, warm_start={**TINY["warm_start"], "epochs": 200})
    demonstration = _demonstrated()
    normaliser = model.get_vec_normalize_env()
    assert normaliser is not None
    assert normaliser.ret_rms.var == pytest.approx(demonstration.backward_returns.var(), rel=0.01)
    with torch.no_grad():
        values = model.policy.predict_values(torch.as_tensor(demonstration.observations))[:, 0].numpy()
    expected = demonstration.returns / np.sqrt(normaliser.ret_rms.var)
    assert np.corrcoef(values, expected)[0, 1] > 0.8


def test_demonstration_has_the_actions_of_the_rule_on_training_days() -> None:
    demonstration = _demonstrated(
        warm_start={"policy": "myopic", "days": 3}, ppo={**TINY["ppo"], "discount": 0.5}
    )
    assert demonstration.description == {"policy": {"type": "myopic"}, "pool_share": None, "days": 3}
    days = demonstration_seeds(_config(), 3)
    assert max(days) < TRAINING_SEEDS_END
    assert set(days).isdisjoint(demonstration_seeds(_config(seed=1), 3))
    env = PaymentVectorEnv(1, "deadline_lumps", autoreset_mode="Disabled")
    rewards: list[float] = []
    observations, infos = env.reset(seed=[days[0]])
    while "episode_cost" not in infos:
        step = len(rewards)
        np.testing.assert_array_equal(demonstration.observations[step], observations[0])
        actions = env.scripted_actions({"type": "myopic"})
        np.testing.assert_array_equal(demonstration.actions[step], actions[0])
        legal = env.action_masks().reshape(8, -1).sum(axis=1)
        np.testing.assert_array_equal(demonstration.choices[step], legal)
        observations, reward, *_, infos = env.step(actions)
        rewards.append(float(reward[0]))
    for step in (0, 5, len(rewards) - 1):
        forward = sum(0.5**index * reward for index, reward in enumerate(rewards[step:]))
        backward = sum(0.5**index * reward for index, reward in enumerate(rewards[step::-1]))
        assert demonstration.returns[step] == pytest.approx(forward)
        assert demonstration.backward_returns[step] == pytest.approx(backward)
    assert len(demonstration.actions) == 3 * len(rewards)


def test_best_rule_commits_the_best_share_of_the_pool() -> None:
    env = {"id": "PaySim/LiquidityPool-v1", "kwargs": {"pool_shares": 5}}
    changes = {"env": env, "warm_start": {"policy": "best_rule", "days": 2}}
    demonstration = _demonstrated(**changes)
    share = demonstration.description["pool_share"]
    is_opening = demonstration.observations[:, _opening_column()] > 0
    assert is_opening.sum() == 2
    assert (demonstration.actions[is_opening, -1] == round(share * 4)).all()
    assert (demonstration.choices[is_opening] == [*[1] * 8, 5]).all()
    assert (demonstration.choices[~is_opening, -1] == 1).all()


def _opening_column() -> int:
    from paysim_gym.envs.spaces import observation_names

    return observation_names(8).index("is_opening")


def test_hindsight_demonstration_has_the_cost_of_the_plan() -> None:
    env = {"id": "PaySim/DeadlineLumps-v1", "kwargs": {"slots": 64, "reward_scale": 1.0}}
    warm = {"policy": "hindsight", "days": 2}
    demonstration = _demonstrated(env=env, warm_start=warm, ppo={**TINY["ppo"], "discount": 1.0})
    ticks = len(demonstration.returns) // 2
    for day, seed in enumerate(demonstration_seeds(_config(), 2)):
        assert (
            -demonstration.returns[day * ticks]
            == hindsight("deadline_lumps", seed, node_limit=100).cost_cents
        )


def test_warm_start_reaches_training_and_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "warm.yaml"
    tiny = {**TINY, "seed": 1}  # of a network that does not begin by releasing everything
    file.write_text(yaml.safe_dump(tiny))
    save = RunFolder.save_checkpoint

    def stop(run: RunFolder, timesteps: int, files: Mapping[str, bytes]) -> None:
        raise KeyboardInterrupt

    def _train(*arguments: object) -> int:
        return invoke("train", *arguments).exit_code

    assert _train("--config", file, "--out", tmp_path / "whole") == 0
    monkeypatch.setattr(RunFolder, "save_checkpoint", stop)
    assert _train("--config", file, "--out", tmp_path / "killed") == 130
    monkeypatch.setattr(RunFolder, "save_checkpoint", save)
    assert _train("--resume", tmp_path / "killed") == 0
    for name in ("metrics.json", "warm_start.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    assert json.loads((tmp_path / "whole" / "warm_start.json").read_text())["days"] == 8
    file.write_text(yaml.safe_dump({**tiny, "warm_start": None}))
    assert _train("--config", file, "--out", tmp_path / "cold") == 0
    assert not (tmp_path / "cold" / "warm_start.json").exists()
    warm, cold = (
        json.loads((tmp_path / name / "metrics.json").read_text())["policies"]["ppo"]["cost_cents_mean"]
        for name in ("whole", "cold")
    )
    assert warm < cold


def test_same_seed_imitates_to_the_same_parameters(tmp_path: Path) -> None:
    one, same, other = (_warm_model(tmp_path, seed=seed)[0].policy.state_dict() for seed in (0, 0, 1))
    for name, values in one.items():
        np.testing.assert_array_equal(values, same[name], err_msg=name)
    assert any((values != other[name]).any() for name, values in one.items())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"warm_start": {"policy": "wait"}}, "warm_start.policy = 'wait': must be 'best_rule', 'hindsight'"),
        ({"warm_start": {"day": 3}}, "warm_start.day = 3: unknown key; allowed: policy, days, epochs"),
        ({"warm_start": {"days": 0}}, "warm_start.days = 0: must be greater than or equal to 1"),
    ],
)
def test_bad_warm_start_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _config(**changes)
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("env", "policy", "expected"),
    [
        ({"kwargs": {"decides": "pool"}, "id": "PaySim/LiquidityPool-v1"}, "hindsight", "requires decides"),
    ],
)
def test_task_without_demonstration_is_refused(env: dict[str, Any], policy: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _demonstrated(env=env, warm_start={"policy": policy, "days": 1})
    assert expected in str(refused.value)
