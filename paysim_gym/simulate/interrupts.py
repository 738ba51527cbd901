"""Defers Ctrl-C during operations that must not be interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_sigint() -> Iterator[None]:
    """Defer SIGINT until the block has ended, even if it ends with an exception.

    DuckDB turns an interrupt into different errors, which cannot be distinguished from failures. Outside the
    main thread, which alone receives signals, nothing is deferred.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is None:  # None: the handler was not set from Python
        yield
        return
    received: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if received:
            signal.raise_signal(signal.SIGINT)
