"""`paysim render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paysim_gym.cli.run import DEFAULT_STORE, RunName, StorePath
from paysim_gym.cli.terminal import ArgumentError, Terminal, note


def render(
    run: RunName,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The .png file to write.", show_default="text on standard output"),
    ] = None,
    bank: Annotated[str | None, typer.Option(help="Bank to draw.", show_default="the first bank's")] = None,
    day: Annotated[int, typer.Option(min=0, help="Day of the run, from 0.")] = 0,
    store: StorePath = DEFAULT_STORE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    r"""Draw a bank's day from a run that was stored with --full-replay.

    A picture needs Pillow: `pip install "paysim-gym\[render]"`.

    [bold]Examples[/bold]

    paysim render last -o day.png --bank BANK_B

    paysim render 3 --day 1
    """
    from paysim_gym.render import render_text
    from paysim_gym.simulate.store import Store
    from paysim_gym.simulate.stored_day import stored_day, write_picture

    if out is not None and out.suffix != ".png":
        raise ArgumentError(f"{out}: must end in .png")
    if out is not None and out.exists() and not force:
        raise ArgumentError(f"{out}: already exists; --force overwrites it")
    with Store(store, must_exist=True) as opened:
        drawn = stored_day(opened, opened.run(run), bank=bank, day=day)
    if out is None:
        with Terminal() as terminal:
            terminal.line(render_text(drawn))
        return
    write_picture(drawn, out)
    note(f"{out} written")
