"""Gymnasium's and Stable-Baselines3's wrappers that record or show pictures."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import HumanRendering, RecordVideo
from gymnasium.wrappers.vector import RecordVideo as VectorRecordVideo
from stable_baselines3.common.vec_env import VecVideoRecorder

from paysim_gym import PaymentVectorEnv
from paysim_gym.envs.sb3 import PaymentVecEnv


class TestWrappers:
    def frames(self, path: Path) -> tuple[list[int], int]:
        """Size and number of frames of a video."""
        from moviepy import VideoFileClip

        with VideoFileClip(str(path)) as film:
            return film.size, round(film.duration * film.fps)

    def test_films(self, tmp_path: Path) -> None:
        env = RecordVideo(gym.make("PaySim/TwoBank-v1", render_mode="rgb_array"), str(tmp_path / "films"))
        env.reset(seed=1)
        for _ in range(48):
            env.step(env.action_space.sample())
        env.close()  # type: ignore[no-untyped-call]
        (film,) = tmp_path.glob("films/*.mp4")
        assert self.frames(film) == ([960, 640], 49)

    def test_films_of_fleets(self, tmp_path: Path) -> None:
        env = VectorRecordVideo(
            gym.make_vec("PaySim/TwoBank-v1", num_envs=2, render_mode="rgb_array"),
            str(tmp_path / "films"),
            video_length=5,
        )
        env.reset(seed=1)
        for _ in range(6):
            env.step(env.action_space.sample())
        env.close()
        (film,) = tmp_path.glob("films/*.mp4")
        (width, height), length = self.frames(film)
        # The wrapper stops after it has more than the requested length.
        assert (width * height, length) == (2 * 960 * 640, 6)

    def test_films_of_stable_baselines(self, tmp_path: Path) -> None:
        fleet = PaymentVectorEnv(2, autoreset_mode="SameStep", render_mode="rgb_array")
        env = VecVideoRecorder(
            PaymentVecEnv(fleet), str(tmp_path / "films"), lambda step: step == 0, video_length=4
        )
        env.reset()
        for _ in range(5):
            env.step(np.zeros((2, 8), np.int64))
        env.close()
        (film,) = tmp_path.glob("films/*.mp4")
        # The reset and four steps.
        assert self.frames(film)[1] == 5

    def test_windows(self) -> None:
        import pygame

        env = HumanRendering(gym.make("PaySim/TwoBank-v1", render_mode="rgb_array"))
        env.reset(seed=1)
        env.step(env.action_space.sample())
        assert pygame.display.get_window_size() == (960, 640)
        env.close()  # type: ignore[no-untyped-call]
