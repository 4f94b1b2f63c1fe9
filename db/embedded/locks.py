"""Locks between processes: `flock`, which the kernel drops when the last process that holds the file dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from types import TracebackType

POLL = 0.005  # seconds between two attempts at a lock that somebody else holds


class FileLock:
    """A lock file, opened and not yet locked. Closing it, or the end of the process, unlocks.

    The file must not be removed while anybody may use it: a lock belongs to the file, not to its name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """For a child that shall hold the lock too: until the last of its holders is gone."""
        if self._descriptor is None:
            raise ValueError("the lock file is closed")
        return self._descriptor

    def try_exclusive(self) -> bool:
        """Lock, or convert a shared lock, without waiting. After a failed conversion nothing is held."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def exclusive(self, timeout: float) -> bool:
        """Lock within `timeout` seconds; whether it worked."""
        return _within(timeout, self.try_exclusive)

    def shared(self, timeout: float) -> bool:
        return _within(timeout, self.try_shared)

    def wait_exclusive(self) -> None:
        """Lock, however long it takes, without polling."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Unlock for every holder of the same opened file; to leave it to a child, close instead."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _within(timeout: float, attempt: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + timeout
    while not attempt():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)
    return True
