"""Training scripts of one file, in the manner of CleanRL, run by id.

Ends have to be those of Gymnasium's contract for the scripts to learn from them, and actions discrete.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional

ENV_ID = "paysim_gym:PaySim/TwoBankFraction-v1"
TICKS = 48
NUM_ENVS = 2


def make_env(env_id: str) -> Callable[[], gym.Env[Any, Any]]:
    def thunk() -> gym.Env[Any, Any]:
        env = gym.make(env_id)
        env = gym.wrappers.FlattenObservation(env)
        return gym.wrappers.RecordEpisodeStatistics(env)

    return thunk


def network(envs: SyncVectorEnv, outputs: int) -> nn.Sequential:
    (inputs,) = envs.single_observation_space.shape or ()
    return nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, outputs))


def sizes(envs: SyncVectorEnv) -> int:
    assert isinstance(envs.single_action_space, Discrete), "only discrete action space is supported"
    return int(envs.single_action_space.n)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)


def ppo(env_id: str, num_steps: int, iterations: int) -> tuple[list[dict[str, Any]], list[float]]:
    """Proximal policy optimisation; returns the statistics of episodes and the losses."""
    envs = SyncVectorEnv([make_env(env_id)] * NUM_ENVS)
    actor, critic = network(envs, sizes(envs)), network(envs, 1)
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=1e-3)
    episodes, losses = [], []
    next_obs = torch.as_tensor(envs.reset(seed=1)[0])
    next_done = torch.zeros(NUM_ENVS)
    for _ in range(iterations):
        obs, actions, log_probs, rewards, dones, values = ([] for _ in range(6))
        for _ in range(num_steps):
            with torch.no_grad():
                policy = Categorical(logits=actor(next_obs))
                action = policy.sample()
                values.append(critic(next_obs)[:, 0])
            obs.append(next_obs)
            dones.append(next_done)
            actions.append(action)
            log_probs.append(policy.log_prob(action))
            seen, reward, terminated, truncated, infos = envs.step(action.numpy())
            rewards.append(torch.as_tensor(reward, dtype=torch.float32))
            next_obs, next_done = torch.as_tensor(seen), torch.as_tensor(terminated | truncated).float()
            if "episode" in infos:
                assert infos["_episode"].tolist() == terminated.tolist()
                episodes.append({"r": infos["episode"]["r"], "l": infos["episode"]["l"], "infos": infos})
        with torch.no_grad():
            values.append(critic(next_obs)[:, 0])
        dones.append(next_done)
        advantages = estimate_advantages(rewards, values, dones)
        batch = torch.cat(obs), torch.cat(actions), torch.cat(log_probs)
        targets = advantages + torch.cat(values[:-1])
        log_prob = Categorical(logits=actor(batch[0])).log_prob(batch[1])
        ratio = (log_prob - batch[2]).exp()
        policy_loss = -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
        loss = policy_loss + functional.mse_loss(critic(batch[0])[:, 0], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    envs.close()
    return episodes, losses


def estimate_advantages(rewards: list[Tensor], values: list[Tensor], dones: list[Tensor]) -> Tensor:
    advantage = torch.zeros(NUM_ENVS)
    advantages: list[Tensor] = []
    for step in reversed(range(len(rewards))):
        continues = 1 - dones[step + 1]
        delta = rewards[step] + 0.99 * values[step + 1] * continues - values[step]
        advantage = delta + 0.99 * 0.95 * continues * advantage
        advantages.insert(0, advantage)
    return torch.cat(advantages)


def dqn(env_id: str, total_steps: int) -> tuple[list[tuple[Any, ...]], list[float]]:
    """Deep Q-learning with a replay buffer; returns the transitions and the losses."""
    envs = SyncVectorEnv([make_env(env_id)], autoreset_mode=AutoresetMode.SAME_STEP)
    choices = sizes(envs)
    q_network, target_network = network(envs, choices), network(envs, choices)
    target_network.load_state_dict(q_network.state_dict())
    optimizer = torch.optim.Adam(q_network.parameters(), lr=1e-3)
    rng, buffer, losses = np.random.default_rng(1), [], []
    obs, _ = envs.reset(seed=1)
    for step in range(total_steps):
        if rng.random() < 0.5:
            actions: NDArray[np.int64] = rng.integers(choices, size=1)
        else:
            actions = q_network(torch.as_tensor(obs)).argmax(1).numpy()
        next_obs, rewards, terminated, truncated, infos = envs.step(actions)
        real_next_obs = next_obs.copy()
        for index in np.flatnonzero(terminated | truncated):
            real_next_obs[index] = infos["final_obs"][index]
        buffer.append((obs[0], real_next_obs[0], actions[0], rewards[0], terminated[0], truncated[0]))
        obs = next_obs
        if step >= 64:
            sample = [buffer[index] for index in rng.integers(len(buffer), size=32)]
            observed, following, chosen, paid, over = (
                torch.as_tensor(np.array(column)) for column in list(zip(*sample, strict=True))[:5]
            )
            with torch.no_grad():
                best = target_network(following).amax(1)
                targets = paid.float() + 0.99 * best * (1 - over.float())
            found = q_network(observed).gather(1, chosen[:, None])[:, 0]
            loss = functional.mse_loss(found, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if step % 50 == 0:
            target_network.load_state_dict(q_network.state_dict())
    envs.close()
    return buffer, losses


def test_a_ppo_script_runs_by_id() -> None:
    episodes, losses = ppo(ENV_ID, num_steps=64, iterations=4)
    assert np.isfinite(losses).all()
    assert len(episodes) == 64 * 4 // (TICKS + 1)
    for episode in episodes:
        assert episode["l"].tolist() == [TICKS] * NUM_ENVS
        costs = episode["infos"]["episode_cost"]
        assert np.corrcoef(episode["r"], costs)[0, 1] == pytest.approx(-1)


def test_a_dqn_script_runs_by_id() -> None:
    buffer, losses = dqn(ENV_ID, total_steps=5 * TICKS)
    assert np.isfinite(losses).all()
    ends = [step for step, transition in enumerate(buffer, 1) if transition[4]]
    assert ends == [TICKS * day for day in range(1, 6)]
    assert not any(transition[5] for transition in buffer)
    for step, (transition, following) in enumerate(pairwise(buffer), 1):
        assert np.array_equal(transition[1], following[0]) == (step not in ends)
