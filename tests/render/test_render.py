"""Rendering: a day computed by hand as picture, text and window."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled, ResetNeeded
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym.envs.parallel import PaymentParallelEnv
from paysim_gym.render import DayHistory, canvas, render_picture, render_text

HOLD_BOTH, RELEASE_FIRST, RELEASE_SECOND = [0, 0], [1, 0], [0, 1]


def hand_scenario(**changes: Any) -> dict[str, Any]:
    """A pays 1,200.50 by tick 2 and 300.25 by tick 1; B pays 50.00."""
    payment = {"sender": "A", "receiver": "B"}
    return {
        "ticks_per_day": 4,
        "agents": [
            {
                "id": "A",
                "balance": 1_000_00,
                "credit_limit": 500_00,
                "collateral": 200_00,
                "collateral_haircut": 0.5,
                "policy": {"type": "learner"},
            },
            {"id": "B", "balance": 2_000_00},
        ],
        "costs": {
            "overdraft_rate": 0.01,
            "delay_penalty_per_tick": 7,
            "overdue_multiplier": 2,
            "deadline_penalty": 10_00,
        },
        "initial_transactions": [
            {**payment, "amount": 1_200_50, "arrival_tick": 0, "deadline_tick": 2},
            {**payment, "amount": 300_25, "arrival_tick": 1, "deadline_tick": 1},
            {"sender": "B", "receiver": "A", "amount": 50_00, "arrival_tick": 0, "deadline_tick": 3},
        ],
        **changes,
    }


def hand_env(render_mode: str | None = "ansi", **changes: Any) -> PaymentEnv:
    return PaymentEnv(hand_scenario(**changes), slots=2, render_mode=render_mode)


def shown(env: PaymentEnv | PaymentVectorEnv) -> Any:
    """The frame that the environment renders."""
    frame = env.render()
    assert frame is not None
    return frame


def row(frame: str, name: str) -> list[str]:
    """The cells of the line that begins with a name."""
    (line,) = [line for line in frame.splitlines() if line.startswith(name)]
    return line.removeprefix(name).split()


def recorded(env: PaymentVectorEnv, actions: list[Any]) -> DayHistory:
    """The day of the first row's bank after a reset and these actions."""
    env.reset(seed=1)
    day = DayHistory()
    day.record(env.snapshots()[0])
    for action in actions:
        env.step(np.array(action)[None])
        day.record(env.snapshots()[0])
    return day


def hand_day(actions: list[Any], **changes: Any) -> DayHistory:
    return recorded(PaymentVectorEnv(1, hand_scenario(**changes), slots=2), actions)


def count(frame: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    """Pixels of a colour."""
    return int((frame == np.array(colour, np.uint8)).all(axis=2).sum())


class TestHandDay:
    def test_morning(self) -> None:
        env = hand_env()
        env.reset()
        frame = shown(env)
        assert frame.splitlines()[0] == "A, day 1 of 1, tick 0 of 4"
        assert row(frame, "Balance") == ["1,000.00", "Received", "today", "0.00"]
        # 500.00 of credit and half of the collateral.
        assert row(frame, "Credit limit") == ["600.00", "Paid", "today", "0.00"]
        assert row(frame, "Liquidity") == ["1,600.00", "Cost", "today", "0.00"]
        assert row(frame, "soon (1-4 ticks)") == ["1", "1,200.50", "0", "0.00"]

    def test_a_payment_due_now(self) -> None:
        env = hand_env()
        env.reset()
        env.step(HOLD_BOTH)
        frame = shown(env)
        assert row(frame, "Balance") == ["1,050.00", "Received", "today", "50.00"]
        assert row(frame, "due now") == ["1", "300.25", "0", "0.00"]
        assert row(frame, "soon (1-4 ticks)") == ["1", "1,200.50", "0", "0.00"]
        assert row(frame, "delay") == ["0.07", "0.07"]

    def test_an_overdraft_and_an_overdue_payment(self) -> None:
        env = hand_env()
        env.reset()
        for action in (HOLD_BOTH, HOLD_BOTH, RELEASE_SECOND):
            env.step(action)
        frame = shown(env)
        assert row(frame, "Balance") == ["-150.50", "Received", "today", "50.00"]
        assert row(frame, "Liquidity") == ["449.50", "Cost", "today", "11.85"]
        assert row(frame, "Credit limit") == ["600.00", "Paid", "today", "1,200.50"]
        assert row(frame, "overdue") == ["1", "300.25", "0", "0.00"]
        # A hundredth of 150.50; 7 cents, 2 x 7 cents, and twice 7 cents of one overdue payment.
        assert row(frame, "overdraft") == ["1.50", "1.50"]
        assert row(frame, "delay") == ["0.35", "0.35"]
        assert row(frame, "deadline") == ["10.00", "10.00"]

    def test_the_close(self) -> None:
        env = hand_env()
        env.reset()
        for action in (HOLD_BOTH, HOLD_BOTH, RELEASE_SECOND, RELEASE_FIRST):
            env.step(action)
        frame = shown(env)
        assert frame.splitlines()[0] == "A, day 1 of 1, closed"
        assert row(frame, "Balance")[0] == "-450.75"
        # A hundredth of 150.50 and of 450.75, exact until the cent.
        assert row(frame, "overdraft") == ["6.01", "6.01"]
        assert [line for line in frame.splitlines() if line.startswith("total")] == [
            f"{'total':<18}{0:>12}{'0.00':>27}{0:>12}{'0.00':>27}",
            f"{'total':<18}{'16.36':>39}{'16.36':>39}",
        ]

    def test_what_is_released_waits_in_the_central_queue(self) -> None:
        payment = {"sender": "A", "receiver": "B", "amount": 1_600_01, "arrival_tick": 0, "deadline_tick": 3}
        env = hand_env(initial_transactions=[payment], ticks_per_day=12)
        env.reset()
        env.step(RELEASE_FIRST)
        assert row(shown(env), "soon (1-4 ticks)") == ["0", "0.00", "1", "1,600.01"]

    def test_flows_by_tick(self) -> None:
        day = hand_day([HOLD_BOTH, HOLD_BOTH, RELEASE_SECOND, RELEASE_FIRST][:3])
        assert day.flows() == [(0, 50_00, 0), (1, 0, 0), (2, 0, 1_200_50)]
        assert day.balances() == [(0, 1_000_00), (1, 1_050_00), (2, 1_050_00), (3, -150_50)]

    def test_costs_of_the_day_and_of_the_episode(self) -> None:
        env = hand_env(num_days=2, end_of_day="drop")
        env.reset()
        for _ in range(4):
            env.step(HOLD_BOTH)
        frame = shown(env)
        assert frame.splitlines()[0] == "A, day 2 of 2, tick 0 of 4"
        # 7 x (1 + 2 + 3 + 4): one payment, two, one of them overdue, both.
        assert row(frame, "delay") == ["0.00", "0.70"]
        assert row(frame, "deadline") == ["0.00", "20.00"]

    def test_a_pool_is_committed_at_the_opening(self) -> None:
        env = PaymentEnv("castro_twelve_period", "A", action_mode="fraction", render_mode="ansi")
        env.reset()
        assert shown(env).splitlines()[0] == "A, day 1 of 1, opening"
        assert row(shown(env), "Pool committed") == ["0.00", "Pool", "100,000.00"]
        env.step(5)
        assert shown(env).splitlines()[0] == "A, day 1 of 1, tick 0 of 12"
        assert row(shown(env), "Pool committed") == ["25,000.00", "Pool", "100,000.00"]
        assert row(shown(env), "liquidity") == ["2,500.00", "2,500.00"]


class TestText:
    @pytest.mark.parametrize("scenario", ["two_bank", "five_bank", "castro_twelve_period"])
    def test_fits_a_terminal_of_100_columns(self, scenario: str) -> None:
        env = PaymentVectorEnv(1, scenario, "A" if "castro" in scenario else None)
        day = recorded(env, [env.single_action_space.sample() for _ in range(12)])
        assert max(map(len, render_text(day).splitlines())) <= 100

    def test_account_chart(self) -> None:
        day = hand_day([HOLD_BOTH, HOLD_BOTH, RELEASE_SECOND])
        assert render_text(day).split("\n\n")[1].splitlines() == [
            "Account by tick, credit limit 600.00 (╌)",
            "     1.2k │    ▂▂▂▂▂▂▂▂",
            "     1.0k │████████████",
            "     0.8k │████████████",
            "     0.6k │████████████",
            "     0.4k │████████████",
            "     0.2k │████████████",
            "        0 ┼────────────────────",
            "    -0.2k │            ████",
            "    -0.4k │",
            "    -0.6k │╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌",
        ]

    def test_flows_chart(self) -> None:
        day = hand_day([HOLD_BOTH, HOLD_BOTH, RELEASE_SECOND])
        assert render_text(day).split("\n\n")[2].splitlines() == [
            "Flows by tick, at most 1.20k in a column",
            " Receipts │▁▁▁▁",
            " Payments │        ████",
        ]

    def test_long_days_share_columns(self) -> None:
        day = hand_day([RELEASE_FIRST] * 300, ticks_per_day=400)
        chart = render_text(day).split("\n\n")[1].splitlines()
        assert max(map(len, chart)) == len("     1.2k │") + 81


class TestPicture:
    def test_shape_and_type(self) -> None:
        frame = render_picture(hand_day([HOLD_BOTH]))
        assert (frame.shape, frame.dtype) == ((640, 960, 3), np.dtype(np.uint8))
        assert render_picture(hand_day([]), (700, 500)).shape == (500, 700, 3)

    def test_the_same_day_gives_the_same_picture(self) -> None:
        actions = [HOLD_BOTH, RELEASE_SECOND]
        np.testing.assert_array_equal(render_picture(hand_day(actions)), render_picture(hand_day(actions)))

    def test_every_tick_changes_it(self) -> None:
        env = PaymentEnv(render_mode="rgb_array")
        env.reset(seed=3)
        before, over = shown(env), False
        while not over:
            _, _, over, _, _ = env.step(env.action_space.sample())
            after = shown(env)
            assert (before != after).any()
            before = after

    def test_an_overdraft_shows(self) -> None:
        solvent, overdrawn = hand_day([HOLD_BOTH] * 4), hand_day([HOLD_BOTH, RELEASE_SECOND, HOLD_BOTH])
        swatch = count(render_picture(hand_day([])), canvas.PALE_VERMILION)
        assert count(render_picture(solvent), canvas.PALE_VERMILION) == swatch
        assert count(render_picture(overdrawn), canvas.PALE_VERMILION) > 10 * swatch

    def test_receipts_and_payments_show(self) -> None:
        before, received, paid = (
            render_picture(hand_day(actions)) for actions in ([], [HOLD_BOTH], [HOLD_BOTH, RELEASE_SECOND])
        )
        assert count(received, canvas.GREEN) > count(before, canvas.GREEN)
        assert count(paid, canvas.ORANGE) > count(received, canvas.ORANGE)

    def test_a_limit_far_below_is_left_out(self) -> None:
        scenario = hand_scenario()
        scenario["agents"][0]["credit_limit"] = 10**12
        day = recorded(PaymentVectorEnv(1, scenario, slots=2), [HOLD_BOTH])
        assert day.account_scale() == (0, 1_050_00, False)
        assert hand_day([HOLD_BOTH]).account_scale() == (-600_00, 1_050_00, True)

    def test_nothing_is_drawn_outside(self) -> None:
        """The largest amounts, a long name, and a constant balance."""
        scenario = hand_scenario()
        scenario["agents"][0] |= {"id": "A" * 60, "credit_limit": 10**15, "balance": 10**15}
        scenario["initial_transactions"] = []
        for size in ((640, 420), (960, 640), (1600, 500), (640, 1200)):
            frame = render_picture(recorded(PaymentVectorEnv(1, scenario, slots=2), [HOLD_BOTH]), size)
            edges = (frame[0], frame[-1], frame[:, 0], frame[:, -1])
            assert all((edge == 255).all() for edge in edges)

    def test_refuses_what_nobody_could_read(self) -> None:
        with pytest.raises(ValueError, match=r"size = \(639, 480\): must be at least"):
            render_picture(hand_day([]), (639, 480))
        with pytest.raises(ValueError, match="no snapshot of this day"):
            render_picture(DayHistory())


class TestDay:
    def test_looking_twice_changes_nothing(self) -> None:
        day = hand_day([HOLD_BOTH])
        day.record(dict(day.latest))
        assert len(day.snapshots) == 2

    def test_a_new_day_starts_afresh(self) -> None:
        day = hand_day([HOLD_BOTH] * 5, num_days=2)
        assert [view["tick"] for view in day.snapshots] == [4, 5]

    def test_a_new_episode_starts_afresh(self) -> None:
        day = hand_day([HOLD_BOTH])
        day.record(hand_day([]).latest)
        assert [view["tick"] for view in day.snapshots] == [0]
        # The first tick of another episode, not a later one of this.
        day.record({**day.latest, "balance": 5})
        assert [view["balance"] for view in day.snapshots] == [5]

    def test_an_opening_belongs_to_its_day(self) -> None:
        env = PaymentVectorEnv(1, "castro_twelve_period", "A", action_mode="fraction")
        day = recorded(env, [5, 0])
        assert [view["is_opening"] for view in day.snapshots] == [True, False, False]
        assert [flow.tick for flow in day.flows()] == [0]
        env.reset(seed=1)
        day.record(env.snapshots()[0])
        assert len(day.snapshots) == 1


class TestEnvironment:
    @pytest.mark.parametrize("mode", ["human", "rgb_array", "ansi"])
    def test_public_checker_passes(self, mode: str) -> None:
        check_env(gym.make("PaySim/TwoBank-v1", render_mode=mode).unwrapped)

    def test_unknown_modes(self) -> None:
        modes = r"must be None or one of human, rgb_array, ansi$"
        with pytest.raises(ValueError, match=rf"^render_mode = 'x': {modes}"):
            PaymentEnv(render_mode="x")
        with pytest.raises(
            ValueError, match=r"^render_mode = 'human': must be None or one of rgb_array, ansi$"
        ):
            PaymentVectorEnv(2, render_mode="human")

    @pytest.mark.parametrize("mode", ["human", "rgb_array", "ansi"])
    def test_needs_a_reset(self, mode: str) -> None:
        with pytest.raises(ResetNeeded, match="call reset before render"):
            PaymentEnv(render_mode=mode).render()

    def test_without_a_mode_it_warns(self) -> None:
        env: PaymentEnv | PaymentVectorEnv
        for env in (PaymentEnv(), PaymentVectorEnv(2)):
            env.reset()
            with pytest.warns(UserWarning, match="without a render mode"):
                assert env.render() is None

    def test_pictures_are_fresh(self) -> None:
        env = hand_env("rgb_array")
        env.reset()
        first, second = shown(env), shown(env)
        assert not np.shares_memory(first, second)
        first[:] = 0
        np.testing.assert_array_equal(shown(env), second)

    def test_rows_show_what_single_environments_show(self) -> None:
        fleet = PaymentVectorEnv(2, render_mode="ansi")
        fleet.reset(seed=5)
        singles = [PaymentEnv(render_mode="ansi") for _ in range(2)]
        for row_seed, single in enumerate(singles, 5):
            single.reset(seed=row_seed)
        for _ in range(3):
            actions = fleet.action_space.sample()
            fleet.step(actions)
            for single, action in zip(singles, actions, strict=True):
                single.step(action)
        assert fleet.render() == tuple(single.render() for single in singles)

    @pytest.mark.parametrize(
        ("mode", "moments"),
        [
            ("NextStep", ["tick 3 of 4", "closed", "tick 0 of 4", "tick 1 of 4"]),
            ("SameStep", ["tick 3 of 4", "tick 0 of 4", "tick 1 of 4", "tick 2 of 4"]),
        ],
    )
    def test_shows_the_state_of_the_returned_observation(self, mode: str, moments: list[str]) -> None:
        env = PaymentVectorEnv(2, hand_scenario(), slots=2, autoreset_mode=mode, render_mode="ansi")
        env.reset(seed=0)
        seen = []
        for _ in range(6):
            env.step(np.zeros((2, 2), np.int64))
            seen.append({frame.splitlines()[0] for frame in shown(env)})
        assert seen[2:] == [{f"A, day 1 of 1, {moment}"} for moment in moments]

    def test_only_the_rows_that_are_reset_start_afresh(self) -> None:
        env = PaymentVectorEnv(2, hand_scenario(), slots=2, autoreset_mode="Disabled", render_mode="ansi")
        env.reset(seed=0)
        env.step(np.zeros((2, 2), np.int64))
        untouched = shown(env)[1]
        env.reset(options={"reset_mask": np.array([True, False])})
        assert shown(env)[0].startswith("A, day 1 of 1, tick 0 of 4")
        assert shown(env)[1] == untouched

    def test_a_restored_state_starts_afresh(self) -> None:
        env = hand_env()
        env.reset()
        env.step(HOLD_BOTH)
        state = env.save_state()
        env.step(HOLD_BOTH)
        env.reset()
        env.restore_state(state)
        assert shown(env).startswith("A, day 1 of 1, tick 1 of 4")
        assert " 1.0k │    ████" in shown(env).replace("▂", "█")

    def test_every_learner_is_a_row(self) -> None:
        env = PaymentVectorEnv(4, "castro_twelve_period", ["A", "B"], render_mode="ansi")
        env.reset(seed=0)
        assert [frame[0] for frame in shown(env)] == ["A", "B", "A", "B"]

    def test_agents_stand_below_each_other(self) -> None:
        actions = {"A": np.zeros(9, np.int64), "B": np.zeros(9, np.int64)}
        pictures, texts = (
            PaymentParallelEnv("castro_twelve_period", render_mode=mode) for mode in ("rgb_array", "ansi")
        )
        for env in (pictures, texts):
            env.reset(seed=0)
            env.step(actions)
        assert np.asarray(pictures.render()).shape == (1280, 960, 3)
        assert [line[:1] for line in str(texts.render()).splitlines() if "day 1 of 1, tick 0" in line] == [
            "A",
            "B",
        ]


class TestWindow:
    def test_shows_the_picture_by_itself(self) -> None:
        import pygame

        env, twin = hand_env("human"), hand_env("rgb_array")
        for action in (None, HOLD_BOTH, RELEASE_SECOND):
            for each in (env, twin):
                each.reset() if action is None else each.step(action)
            surface = pygame.display.get_surface()
            assert surface is not None
            on_screen = pygame.surfarray.array3d(surface).transpose(1, 0, 2)
            np.testing.assert_array_equal(on_screen, shown(twin))
            assert env.render() is None
        env.close()
        assert not pygame.display.get_init()
        env.close()

    def test_it_does_not_draw_through_mesa(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With Mesa, a later `import torch._dynamo` ends in SIGSEGV."""
        import pygame

        opened: list[str] = []
        monkeypatch.delenv("SDL_FRAMEBUFFER_ACCELERATION", raising=False)
        init = pygame.display.init

        def record_and_open() -> None:
            opened.append(os.environ["SDL_FRAMEBUFFER_ACCELERATION"])
            init()

        monkeypatch.setattr(pygame.display, "init", record_and_open)
        env = hand_env("human")
        env.reset()
        env.close()
        assert opened == ["0"]
        monkeypatch.setenv("SDL_FRAMEBUFFER_ACCELERATION", "1")
        env = hand_env("human")
        env.reset()
        env.close()
        assert opened == ["0", "1"]

    def test_missing_libraries_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        env = hand_env("rgb_array")
        env.reset()
        for cache in (canvas._font, canvas._render_text):
            cache.cache_clear()
        for name in ("pygame", "PIL"):
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(DependencyNotInstalled, match=r'pygame.*pip install "paysim-gym\[render\]"'):
            hand_env("human")
        with pytest.raises(DependencyNotInstalled, match=r'Pillow.*pip install "paysim-gym\[render\]"'):
            env.render()
