"""Independent learners of a game: the networks of many runs side by side, REINFORCE and PPO.

A run is two banks that learn at the same time, each from its own costs alone. All runs of a game play in one
fleet, and their networks are slices of one stack of matrices: nothing passes from one run to another.
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
from paysim_gym._engine import SHARES, observation_fields
from paysim_gym.envs.env_arguments import Decides
from paysim_training.studies.games.settings import Ppo, Reinforce

BANKS = 2
PAYMENT_STATE = 4
"""Period, new demand, accumulated demand, liquidity: the state of Castro et al. (2025), section 7.1."""

_COLUMNS = {name: column for column, (name, *_) in enumerate(observation_fields(1))}
_SEEN = [_COLUMNS[name] for name in ("queue_value", "central_value", "liquidity")]


class Batch(NamedTuple):
    """Days that all runs played, for one decision: the commitment, or what to send.

    Attributes:
        states: float32 of shape (networks, decisions, inputs).
        actions: int64 of shape (networks, decisions): twentieths.
        returns: float32 of shape (networks, decisions): minus the bank's costs from then on, in pools.
    """

    states: Tensor
    actions: Tensor
    returns: Tensor


class Played(NamedTuple):
    """Days that all runs played, as people read them.

    Attributes:
        shares: int64 of shape (runs, days, 2, decisions): twentieths, the commitment first.
        costs: int64 of shape (runs, days, 2): cents.
    """

    shares: NDArray[np.int64]
    costs: NDArray[np.int64]


class Networks(nn.Module):
    """A stack of networks with one hidden layer (tanh), each with weights of its own."""

    def __init__(
        self, count: int, inputs: int, hidden: int, outputs: int, generator: torch.Generator
    ) -> None:
        """Draw the weights by Glorot and Bengio (2010); the biases are 0."""
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
    """One game, played by the networks of all runs in one fleet.

    Attributes:
        decides: `pool` where the banks send all that they can, `both` where that is theirs to learn too.
        inputs: Size of each decision's state; the commitment's is the bank's demand of every period.
    """

    def __init__(self, scenario: Scenario, runs: int, days: int, decides: Decides) -> None:
        """Build the fleet.

        Args:
            scenario: Two learners with pools of equal size, no chance in it.
            runs: Pairs of banks.
            days: Days that a batch has of each.
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

    def play(self, choose: Callable[[int, Tensor], Tensor]) -> tuple[list[Batch], Played]:
        """Play a batch of days.

        Args:
            choose: From the decision (0: the commitment, 1: what to send) and its states, float32 of shape
                (networks, days, inputs), to actions, int64 of shape (networks, days).

        Returns:
            One batch a decision, and the same days as people read them.
        """
        seen, _ = self._env.reset()
        states, actions, rewards = [], [], []
        for step in range(1 + self.periods):
            if step <= self._last_decision:
                states.append(self._opening() if step == 0 else self._state(step - 1, seen))
                actions.append(choose(min(step, 1), states[-1]))
                own = self._to_rows(actions[-1])
            else:
                own = np.full(self._env.num_envs, FULL_SHARE if self.decides == "both" else 0)
            tick = self._env.play(own)
            seen = tick.observations
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
        return batches, Played(shares.numpy(), costs)

    @property
    def _last_decision(self) -> int:
        """Steps after it are not the bank's: the last period sends all."""
        return 0 if self.decides == "pool" else self.periods - 1

    def _opening(self) -> Tensor:
        return self._demand.repeat(self.runs, 1)[:, None, :].expand(-1, self.days, -1)

    def _state(self, period: int, seen: NDArray[np.float32]) -> Tensor:
        """float32 of shape (networks, days, 4), money in pools."""
        shape = (self.runs, self.days, BANKS, len(_SEEN))
        queued, central, liquidity = (torch.from_numpy(seen[:, _SEEN]).reshape(shape) * self._units).unbind(3)
        new = self._demand[:, period].expand_as(queued)
        clock = torch.full_like(queued, (1 + period) / self.periods)
        state = torch.stack([clock, new, queued + central, liquidity], 3)
        return state.transpose(1, 2).reshape(self.runs * BANKS, self.days, PAYMENT_STATE)

    def _to_rows(self, values: Tensor) -> NDArray[np.int64]:
        return values.reshape(self.runs, BANKS, self.days).transpose(1, 2).reshape(-1).numpy()

    def _from_rows(self, values: Tensor) -> Tensor:
        return values.reshape(self.runs, self.days, BANKS).transpose(1, 2).reshape(-1, self.days)


class Learners:
    """The policies of all banks of all runs: one stack of networks a decision."""

    def __init__(self, game: Game, hidden: int, generator: torch.Generator) -> None:
        """Draw the networks."""
        count = game.runs * BANKS
        self._generator = generator
        self.actors = [Networks(count, inputs, hidden, SHARES, generator) for inputs in game.inputs]

    def parameters(self) -> list[nn.Parameter]:
        """All weights and biases."""
        return _parameters(self.actors)

    def sample(self, decision: int, states: Tensor) -> Tensor:
        """Draw actions: int64 of shape (networks, days)."""
        with torch.no_grad():
            odds = self.actors[decision](states).softmax(2)
        drawn = torch.multinomial(odds.reshape(-1, SHARES), 1, generator=self._generator)
        return drawn.reshape(states.shape[:2])

    def likeliest(self, decision: int, states: Tensor) -> Tensor:
        """The most likely actions: int64 of shape (networks, days)."""
        with torch.no_grad():
            return self.actors[decision](states).argmax(2)


def learn(
    game: Game, learners: Learners, settings: Reinforce | Ppo, generator: torch.Generator
) -> Iterator[Played]:
    """Train the banks of all runs against each other, batch by batch.

    Args:
        game: What they play.
        learners: Whom to train.
        settings: The algorithm and its settings.
        generator: Of the critics' weights.

    Yields:
        Every batch of days, once the learners have learned from it.
    """
    improve = (
        _Reinforce(learners, settings)
        if isinstance(settings, Reinforce)
        else _Ppo(game, learners, settings, generator)
    )
    for update in range(settings.updates):
        batches, played = game.play(learners.sample)
        improve.step(batches, 1 - update / settings.updates)
        yield played


class _Reinforce:
    def __init__(self, learners: Learners, settings: Reinforce) -> None:
        self._actors, self._has_baseline = learners.actors, settings.baseline
        self._optimiser = torch.optim.Adam(learners.parameters(), lr=settings.learning_rate)

    def step(self, batches: list[Batch], _left: float) -> None:
        loss = torch.zeros(())
        for actor, batch in zip(self._actors, batches, strict=True):
            gains = _centred(batch.returns) if self._has_baseline else batch.returns
            # A sum over networks, so that each has its own gradient, whatever the others do.
            loss = loss - (_chosen(_log_probs(actor, batch), batch) * gains).mean(1).sum()
        _descend(self._optimiser, loss)


class _Ppo:
    def __init__(self, game: Game, learners: Learners, settings: Ppo, generator: torch.Generator) -> None:
        self._actors, self._settings = learners.actors, settings
        self._critics = [
            Networks(game.runs * BANKS, inputs, settings.hidden, 1, generator) for inputs in game.inputs
        ]
        parameters = [*learners.parameters(), *_parameters(self._critics)]
        self._optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate)

    def step(self, batches: list[Batch], left: float) -> None:
        first, last = self._settings.learning_rate, self._settings.final_learning_rate
        self._optimiser.param_groups[0]["lr"] = last + (first - last) * left
        with torch.no_grad():
            parts = [
                (actor, critic, batch, _chosen(_log_probs(actor, batch), batch), _advantages(critic, batch))
                for actor, critic, batch in zip(self._actors, self._critics, batches, strict=True)
            ]
        for _ in range(self._settings.epochs):
            loss = torch.zeros(())
            for part in parts:
                loss = loss + self._loss(*part, entropy_weight=self._settings.entropy_coefficient * left)
            _descend(self._optimiser, loss)

    def _loss(
        self,
        actor: Networks,
        critic: Networks,
        batch: Batch,
        before: Tensor,
        advantages: Tensor,
        *,
        entropy_weight: float,
    ) -> Tensor:
        log_probs = _log_probs(actor, batch)
        ratio = (_chosen(log_probs, batch) - before).exp()
        bounded = ratio.clamp(1 - self._settings.clip_range, 1 + self._settings.clip_range)
        gain = torch.minimum(ratio * advantages, bounded * advantages)
        entropy = -(log_probs.exp() * log_probs).sum(2)
        error = (critic(batch.states)[..., 0] - batch.returns).square()
        return (error - gain - entropy_weight * entropy).mean(1).sum()


def _parameters(stacks: list[Networks]) -> list[nn.Parameter]:
    return [parameter for stack in stacks for parameter in stack.parameters()]


def _log_probs(actor: Networks, batch: Batch) -> Tensor:
    """Of every action: float32 of shape (networks, decisions, actions)."""
    return actor(batch.states).log_softmax(2)


def _chosen(log_probs: Tensor, batch: Batch) -> Tensor:
    """Of the action that was taken: float32 of shape (networks, decisions)."""
    return log_probs.gather(2, batch.actions[..., None])[..., 0]


def _advantages(critic: Networks, batch: Batch) -> Tensor:
    centred = _centred(batch.returns - critic(batch.states)[..., 0])
    return centred / (centred.std(1, keepdim=True) + 1e-8)


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
