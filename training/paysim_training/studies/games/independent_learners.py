"""Independent learners of a game, trained with REINFORCE or PPO.

A run is a pair of banks that learn at the same time, each from its own costs. All runs of a game play in one
fleet, and their networks are slices of batched matrices. Runs do not influence each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from paysim_agents.games import FULL_SHARE
from torch import Tensor, nn

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym._engine import SHARES
from paysim_gym.envs.env_arguments import Decides
from paysim_gym.envs.spaces import observation_names
from paysim_training.studies.games.settings import Ppo, Reinforce

BANKS = 2
PAYMENT_STATE = 4
"""Size of the state of Castro et al. (2025), section 7.1: period, new and accumulated demand, liquidity."""

_COLUMNS = {name: column for column, name in enumerate(observation_names(1))}
_OBSERVED = [_COLUMNS[name] for name in ("queue_value", "central_value", "liquidity")]


class Batch(NamedTuple):
    """Transitions of one type of decision: commitments or payments.

    Attributes:
        states: float32 of shape (networks, decisions, inputs).
        actions: int64 of shape (networks, decisions), in twentieths.
        returns: float32 of shape (networks, decisions): the negative of the bank's later costs, in pools.
    """

    states: Tensor
    actions: Tensor
    returns: Tensor


class PlayedDays(NamedTuple):
    """Actions and costs of days that all runs played.

    Attributes:
        shares: int64 of shape (runs, days, 2, decisions), in twentieths, the commitment first.
        costs: int64 of shape (runs, days, 2), in cents.
    """

    shares: NDArray[np.int64]
    costs: NDArray[np.int64]


class Networks(nn.Module):
    """A batch of independent networks with one hidden layer of tanh units."""

    def __init__(
        self, count: int, inputs: int, hidden: int, outputs: int, generator: torch.Generator
    ) -> None:
        """Initialise weights after Glorot and Bengio (2010), and biases to 0."""
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in ((inputs, hidden), (hidden, outputs)):
            limit = math.sqrt(6 / (fan_in + fan_out))
            drawn = torch.rand((count, fan_in, fan_out), generator=generator)
            self.weights.append(nn.Parameter((2 * drawn - 1) * limit))
            self.biases.append(nn.Parameter(torch.zeros(count, 1, fan_out)))

    def forward(self, states: Tensor) -> Tensor:
        """Outputs, float32 of shape (networks, decisions, outputs)."""
        hidden = torch.tanh(torch.baddbmm(self.biases[0], states, self.weights[0]))
        return torch.baddbmm(self.biases[1], hidden, self.weights[1])


class Game:
    """A game, played by the networks of all runs in one fleet.

    Attributes:
        decides: `pool`: banks decide about commitments and send all they can; `both`: about payments too.
        inputs: State size of each type of decision; a commitment's state is the bank's demand per period.
    """

    def __init__(self, scenario: Scenario, runs: int, days: int, decides: Decides) -> None:
        """Build the fleet.

        Args:
            scenario: A deterministic scenario of two learners with pools of equal size.
            runs: Number of pairs of banks.
            days: Days per run in a batch.
            decides: What the banks decide.
        """
        self.decides = decides
        self.runs, self.days, self.periods = runs, days, scenario.ticks_per_day
        pool = scenario.agents[0].liquidity_pool
        banks = [agent.id for agent in scenario.agents]
        self._env = PaymentVectorEnv(
            runs * days * BANKS,
            scenario,
            banks,
            slots=1,
            action_mode="fraction",
            decides=decides,
            reward_scale=pool,
            autoreset_mode=AutoresetMode.DISABLED,
        )
        scales = [self._env.amount_scales_cents[bank] / pool for bank in banks]
        self._units = torch.tensor(scales, dtype=torch.float32).reshape(1, 1, BANKS, 1)
        demand = np.zeros((BANKS, self.periods), np.float32)
        for payment in scenario.initial_transactions:
            demand[banks.index(payment.sender), payment.arrival_tick] += payment.amount / pool
        self._demand = torch.from_numpy(demand)
        self.inputs = (self.periods,) if decides == "pool" else (self.periods, PAYMENT_STATE)

    def play(self, choose: Callable[[int, Tensor], Tensor]) -> tuple[list[Batch], PlayedDays]:
        """Play a batch of days.

        Args:
            choose: Policy: maps the type of decision (0: commitment, 1: payments) and its states, float32 of
                shape (networks, days, inputs), to actions, int64 of shape (networks, days).

        Returns:
            One batch per type of decision, and the actions and costs of the days.
        """
        observations, _ = self._env.reset()
        states, actions, rewards = [], [], []
        for step in range(1 + self.periods):
            if step <= self._last_decision:
                states.append(self._opening() if step == 0 else self._state(step - 1, observations))
                actions.append(choose(min(step, 1), states[-1]))
                rows = self._to_rows(actions[-1])
            else:
                rows = np.full(self._env.num_envs, FULL_SHARE if self.decides == "both" else 0)
            tick = self._env.step_rows(rows)
            observations = tick.observations
            rewards.append(self._from_rows(torch.from_numpy(tick.rewards)))
        returns = torch.stack(rewards).flip(0).cumsum(0).flip(0).float()
        batches = [Batch(states[0], actions[0], returns[0])]
        if self.decides == "both":
            later = slice(1, 1 + self._last_decision)
            joined = (
                torch.cat(states[later], 1),
                torch.cat(actions[later], 1),
                torch.cat(list(returns[later]), 1),
            )
            batches.append(Batch(*joined))
        shares = torch.stack(actions, 2).reshape(self.runs, BANKS, self.days, -1).transpose(1, 2)
        costs = tick.totals["cost"].reshape(self.runs, self.days, BANKS)
        return batches, PlayedDays(shares.numpy(), costs)

    @property
    def _last_decision(self) -> int:
        """Index of the last decision; in the last period banks send all they can."""
        return 0 if self.decides == "pool" else self.periods - 1

    def _opening(self) -> Tensor:
        return self._demand.repeat(self.runs, 1)[:, None, :].expand(-1, self.days, -1)

    def _state(self, period: int, observations: NDArray[np.float32]) -> Tensor:
        """States of payment decisions, float32 of shape (networks, days, 4), money in pools."""
        shape = (self.runs, self.days, BANKS, len(_OBSERVED))
        queued, central, liquidity = (
            torch.from_numpy(observations[:, _OBSERVED]).reshape(shape) * self._units
        ).unbind(3)
        new = self._demand[:, period].expand_as(queued)
        clock = torch.full_like(queued, (1 + period) / self.periods)
        state = torch.stack([clock, new, queued + central, liquidity], 3)
        return state.transpose(1, 2).reshape(self.runs * BANKS, self.days, PAYMENT_STATE)

    def _to_rows(self, values: Tensor) -> NDArray[np.int64]:
        return values.reshape(self.runs, BANKS, self.days).transpose(1, 2).reshape(-1).numpy()

    def _from_rows(self, values: Tensor) -> Tensor:
        return values.reshape(self.runs, self.days, BANKS).transpose(1, 2).reshape(-1, self.days)


class Learners:
    """Policies of all banks of all runs.

    Each type of decision has its own batch of networks.
    """

    def __init__(self, game: Game, hidden: int, generator: torch.Generator) -> None:
        """Initialise the networks."""
        count = game.runs * BANKS
        self._generator = generator
        self.actors = [Networks(count, inputs, hidden, SHARES, generator) for inputs in game.inputs]

    def parameters(self) -> list[nn.Parameter]:
        """All weights and biases."""
        return _parameters(self.actors)

    def sample(self, decision: int, states: Tensor) -> Tensor:
        """Sampled actions, int64 of shape (networks, days)."""
        with torch.no_grad():
            probs = self.actors[decision](states).softmax(2)
        sampled = torch.multinomial(probs.reshape(-1, SHARES), 1, generator=self._generator)
        return sampled.reshape(states.shape[:2])

    def most_likely(self, decision: int, states: Tensor) -> Tensor:
        """Most likely actions, int64 of shape (networks, days)."""
        with torch.no_grad():
            logits: Tensor = self.actors[decision](states)
        return logits.argmax(2)


def learn(
    game: Game, learners: Learners, settings: Reinforce | Ppo, generator: torch.Generator
) -> Iterator[PlayedDays]:
    """Train the banks of all runs, batch by batch.

    Args:
        game: The game.
        learners: The policies to train.
        settings: The algorithm and its settings.
        generator: Initialises the critics.

    Yields:
        Every batch of days, after the update on it.
    """
    algorithm = (
        _Reinforce(learners, settings)
        if isinstance(settings, Reinforce)
        else _Ppo(game, learners, settings, generator)
    )
    for update in range(settings.updates):
        batches, played = game.play(learners.sample)
        algorithm.step(batches, 1 - update / settings.updates)
        yield played


class _Reinforce:
    def __init__(self, learners: Learners, settings: Reinforce) -> None:
        self._actors, self._has_baseline = learners.actors, settings.baseline
        self._optimiser = torch.optim.Adam(learners.parameters(), lr=settings.learning_rate)

    def step(self, batches: list[Batch], _remaining: float) -> None:
        loss = torch.zeros(())
        for actor, batch in zip(self._actors, batches, strict=True):
            advantages = _centred(batch.returns) if self._has_baseline else batch.returns
            # Summed over networks: the gradient of each network depends on its own loss only.
            loss = loss - (_chosen(_log_probs(actor, batch), batch) * advantages).mean(1).sum()
        _descend(self._optimiser, loss)


class _Ppo:
    def __init__(self, game: Game, learners: Learners, settings: Ppo, generator: torch.Generator) -> None:
        self._actors, self._settings = learners.actors, settings
        self._critics = [
            Networks(game.runs * BANKS, inputs, settings.hidden, 1, generator) for inputs in game.inputs
        ]
        parameters = [*learners.parameters(), *_parameters(self._critics)]
        self._optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate)

    def step(self, batches: list[Batch], remaining: float) -> None:
        first, last = self._settings.learning_rate, self._settings.final_learning_rate
        self._optimiser.param_groups[0]["lr"] = last + (first - last) * remaining
        with torch.no_grad():
            parts = [
                (actor, critic, batch, _chosen(_log_probs(actor, batch), batch), _advantages(critic, batch))
                for actor, critic, batch in zip(self._actors, self._critics, batches, strict=True)
            ]
        for _ in range(self._settings.epochs):
            loss = torch.zeros(())
            for part in parts:
                loss = loss + self._loss(*part, entropy_weight=self._settings.entropy_coefficient * remaining)
            _descend(self._optimiser, loss)

    def _loss(
        self,
        actor: Networks,
        critic: Networks,
        batch: Batch,
        old_log_probs: Tensor,
        advantages: Tensor,
        *,
        entropy_weight: float,
    ) -> Tensor:
        log_probs = _log_probs(actor, batch)
        ratio = (_chosen(log_probs, batch) - old_log_probs).exp()
        bounded = ratio.clamp(1 - self._settings.clip_range, 1 + self._settings.clip_range)
        objective = torch.minimum(ratio * advantages, bounded * advantages)
        entropy = -(log_probs.exp() * log_probs).sum(2)
        values: Tensor = critic(batch.states)[..., 0]
        error = (values - batch.returns).square()
        return (error - objective - entropy_weight * entropy).mean(1).sum()


def _parameters(stacks: list[Networks]) -> list[nn.Parameter]:
    return [parameter for stack in stacks for parameter in stack.parameters()]


def _log_probs(actor: Networks, batch: Batch) -> Tensor:
    """Log-probabilities of all actions, float32 of shape (networks, decisions, actions)."""
    logits: Tensor = actor(batch.states)
    return logits.log_softmax(2)


def _chosen(log_probs: Tensor, batch: Batch) -> Tensor:
    return log_probs.gather(2, batch.actions[..., None])[..., 0]


def _advantages(critic: Networks, batch: Batch) -> Tensor:
    values: Tensor = critic(batch.states)[..., 0]
    centred = _centred(batch.returns - values)
    return centred / (centred.std(1, keepdim=True) + 1e-8)


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
