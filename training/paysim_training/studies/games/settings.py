"""The games of Castro et al. (2025) and the settings of the learners.

Published settings (appendix D, table 2, and sections 6 and 7): REINFORCE with a softmax over 21 shares, one
hidden layer of 21 tanh units, Adam with learning rate .1, batches of ten days, and 50, 100 and 200 batches
for two, twelve and three periods; 50 runs. docs/games.md lists the settings that the paper leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass

from paysim_gym.envs.env_arguments import Decides


@dataclass(frozen=True)
class GameSettings:
    """Settings of a game in the paper.

    Attributes:
        decides: `pool`: banks decide about commitments and send all they can; `both`: about payments too.
        published_updates: Number of batches of days in the paper's training.
    """

    decides: Decides
    published_updates: int


@dataclass(frozen=True)
class Reinforce:
    """Settings of REINFORCE (Williams 1992).

    Attributes:
        updates: Number of batches of days, with one step of Adam each.
        days: Days per batch.
        learning_rate: Constant learning rate of Adam.
        hidden: Units of the hidden layer.
        baseline: Whether to subtract the mean return of the batch from every return.
    """

    updates: int
    days: int
    learning_rate: float
    hidden: int
    baseline: bool


@dataclass(frozen=True)
class Ppo:
    """Settings of proximal policy optimisation (Schulman et al. 2017).

    Attributes:
        updates: Number of batches of days.
        days: Days per batch.
        learning_rate: Initial learning rate of Adam, with linear decay.
        final_learning_rate: Final learning rate of Adam.
        hidden: Units of the hidden layer of actor and critic.
        epochs: Steps of Adam per batch.
        clip_range: Clip range of the probability ratio.
        entropy_coefficient: Initial weight of the entropy bonus, with linear decay to 0.
    """

    updates: int = 240
    days: int = 64
    learning_rate: float = 0.003
    final_learning_rate: float = 0.0003
    hidden: int = 21
    epochs: int = 4
    clip_range: float = 0.2
    entropy_coefficient: float = 0.02


GAMES = {
    "castro_two_period": GameSettings("pool", 50),
    "castro_three_period": GameSettings("both", 200),
    "castro_three_period_indivisible": GameSettings("both", 200),
    "castro_twelve_period": GameSettings("pool", 100),
}
ALGORITHMS = ("reinforce_published", "reinforce", "ppo")


def settings_of(algorithm: str, game: str) -> Reinforce | Ppo:
    """The settings of one of `ALGORITHMS` on one of `GAMES`."""
    if algorithm == "reinforce_published":
        updates = GAMES[game].published_updates
        return Reinforce(updates, days=10, learning_rate=0.1, hidden=21, baseline=False)
    if algorithm == "reinforce":
        return Reinforce(updates=500, days=50, learning_rate=0.005, hidden=21, baseline=True)
    return Ppo()
