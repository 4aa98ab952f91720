"""The holder's event loop: descriptors and their callbacks, one thread, woken by signals."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable

Callback = Callable[[], object]


class Loop:
    """Calls back when descriptors are ready. Callbacks must bear a call for nothing."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self.watch(self._wake_read, lambda: os.read(self._wake_read, 4096))

    def watch(self, fd: int, reader: Callback, writer: Callback | None = None) -> None:
        """Calls `reader` when `fd` is readable or hung up, `writer` if given when it is writable. Replaces the last."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writer else 0)
        key = self._selector.get_map().get(fd)
        if key is None:
            self._selector.register(fd, events, (reader, writer))
        else:
            self._selector.modify(fd, events, (reader, writer))

    def unwatch(self, fd: int) -> None:
        """Ends `watch`, if there was one; to be called before the descriptor is closed."""
        if fd >= 0 and fd in self._selector.get_map():
            self._selector.unregister(fd)

    def wake(self) -> None:
        """Makes `turn` return; safe in a signal handler."""
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # full, so it wakes up anyway

    def turn(self, timeout: float | None) -> None:
        """Waits for at most `timeout` seconds (None: for ever) and calls back for what is ready."""
        for key, events in self._selector.select(timeout):
            # An earlier callback may have closed this descriptor, and another may bear its number by now.
            if self._selector.get_map().get(key.fd) is not key:
                continue
            reader, writer = key.data
            if events & selectors.EVENT_WRITE and writer is not None:
                writer()
            if events & selectors.EVENT_READ and self._selector.get_map().get(key.fd) is key:
                reader()

    def close(self) -> None:
        """Closes what the loop itself opened."""
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
