"""Step data for Minari: action masks and costs beside observations, actions and rewards.

Needs the extra `minari`; docs/minari.md has an example.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from paysim_gym.envs.infos import COST_KEYS
from paysim_gym.extras import requires_extra

with requires_extra("minari"):
    # Minari imports these two only when it stores the first step.
    import h5py  # noqa: F401
    import jax  # noqa: F401
    from minari import StepDataCallback
    from minari.dataset.step_data import StepData


class PaymentStepData(StepDataCallback):
    """Records the infos that every step has, for `minari.DataCollector(record_infos=True)`.

    Minari stores infos only if every step has the same keys, which the totals at the end of an episode and
    the infos of some wrappers break; these are left out. The infos of a step are:

    * `action_mask`: the legal actions in the recorded observation, one component after the other, int8
      of shape (mask size,)
    * `cost_<component>`: the costs of the step that led there, in cents, int64; 0 after a reset
    * `illegal_actions`: how many of that step's actions acted as hold, int64
    """

    def __call__(self, env: gym.Env[Any, Any], obs: Any, info: dict[str, Any], **step: Any) -> StepData:
        """Return the data of a step or a reset."""
        recorded = {key: np.int64(info[key]) for key in (*COST_KEYS, "illegal_actions")}
        mask = info["action_mask"]
        flat_mask = np.concatenate(mask) if isinstance(mask, tuple) else mask
        data: StepData = super().__call__(env, obs, {"action_mask": flat_mask, **recorded}, **step)
        return data
