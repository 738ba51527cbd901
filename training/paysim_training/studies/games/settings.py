"""The games of Castro et al. (2025) and the settings of the learners, in one place.

What the paper says (its appendix D, table 2, and sections 6 and 7): REINFORCE with a softmax over 21 shares,
one hidden layer of 21 tanh units, Adam at .1, ten days in a batch, and 50, 100 and 200 batches for two,
twelve and three periods; 50 runs. The rest is chosen here, and docs/games.md says what.
"""

from __future__ import annotations

from dataclasses import dataclass

from paysim_gym.envs.env_arguments import Decides


@dataclass(frozen=True)
class Played:
    """A game as the paper plays it.

    Attributes:
        decides: `pool` where the banks send all that they can, `both` where that is theirs to learn too.
        published_updates: For how many batches of days the paper trains.
    """

    decides: Decides
    published_updates: int


@dataclass(frozen=True)
class Reinforce:
    """Settings of REINFORCE (Williams 1992).

    Attributes:
        updates: Batches of days, each fresh and good for one step of Adam.
        days: Days in a batch.
        learning_rate: Adam's, constant.
        hidden: Units of the one hidden layer.
        baseline: Whether the mean return of the batch is taken off every return.
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
        updates: Batches of days, each fresh.
        days: Days in a batch.
        learning_rate: Adam's at the start; it falls linearly.
        final_learning_rate: Adam's at the end.
        hidden: Units of the one hidden layer, of the actor and of the critic.
        epochs: Steps of Adam on a batch.
        clip_range: How far the ratio of probabilities may move from 1 and still gain.
        entropy_coefficient: Weight of the entropy bonus at the start; it falls linearly to 0.
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
    "castro_two_period": Played("pool", 50),
    "castro_three_period": Played("both", 200),
    "castro_three_period_indivisible": Played("both", 200),
    "castro_twelve_period": Played("pool", 100),
}
ALGORITHMS = ("reinforce_published", "reinforce", "ppo")


def settings_of(algorithm: str, game: str) -> Reinforce | Ppo:
    """The settings that an algorithm of `ALGORITHMS` has on a game of `GAMES`."""
    if algorithm == "reinforce_published":
        updates = GAMES[game].published_updates
        return Reinforce(updates, days=10, learning_rate=0.1, hidden=21, baseline=False)
    if algorithm == "reinforce":
        return Reinforce(updates=500, days=50, learning_rate=0.005, hidden=21, baseline=True)
    return Ppo()
