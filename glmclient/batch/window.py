"""How many requests may be under way at once: fixed, or learned from what the service refuses.

The automatic window is a small state machine without a clock. Example with a service that allows three
requests at once: the window is 1, then 2 after one success, then 4 after two more. The fourth request is
refused, so the ceiling becomes 3 (one below the window) and the window 3. From then on every request
succeeds. After 16 windows without a refusal one more request is probed; it is refused, the window is 3
again, and the next probe comes only after 32 windows.

Additive growth with halving, the rule of TCP, was rejected: at a width of 3 it refuses about one request in
five, because the distance between "too few" and "too many" is a single request.
"""

from __future__ import annotations

__all__ = ["MAXIMUM", "Window"]

MAXIMUM = 256
"""The widest automatic window: the synchronous client needs one thread for each request."""

_FIRST_PROBE = 16
"""Windows without a refusal before the first probe above the ceiling."""
_LAST_PROBE = 1024
"""The longest wait for a probe, in windows: a service that was upgraded is noticed eventually."""


class Window:
    """The number of requests that may be under way at once.

    Args:
        size: the fixed number, or ``None`` for an automatic window.
    """

    __slots__ = (
        "_ceiling",
        "_epoch",
        "_probe_after",
        "_probing",
        "_quiet_windows",
        "_refused_in_row",
        "_successes",
        "automatic",
        "size",
    )

    def __init__(self, size: int | None = None) -> None:
        self.automatic: bool = size is None
        self.size: int = 1 if size is None else size
        self._ceiling: int | None = None
        self._epoch = 0
        self._successes = 0
        self._quiet_windows = 0
        self._probe_after = _FIRST_PROBE
        self._probing = False
        self._refused_in_row = 0

    @property
    def epoch(self) -> int:
        """A number that grows with each reduction.

        A request carries the epoch of its admission, so that the refusals of one round trip reduce the window once.
        """
        return self._epoch

    def succeeded(self) -> None:
        """Note that the service answered a request."""
        if not self.automatic:
            return
        self._successes += 1
        if self._successes < self.size:
            return
        # A whole window of successes since the last change of the window.
        self._successes = 0
        self._refused_in_row = 0
        if self._probing:  # the probe succeeded: the next one need not wait longer
            self._probing = False
            self._probe_after = _FIRST_PROBE
        if self._ceiling is None:
            self.size = min(self.size * 2, MAXIMUM)
        elif self.size < self._ceiling:
            self.size += 1  # the way back after a halving
        else:
            self._quiet_windows += 1
            if self._quiet_windows >= self._probe_after and self.size < MAXIMUM:
                self._quiet_windows = 0
                self._probing = True
                self.size += 1
                self._ceiling = self.size

    def refused(self, epoch: int) -> None:
        """Note that the service refused a request for its rate, or did not begin to answer in time.

        Args:
            epoch: the window's epoch when the request was admitted.
        """
        if not self.automatic or epoch != self._epoch:
            return
        self._epoch += 1
        self._successes = 0
        self._quiet_windows = 0
        self._refused_in_row += 1
        if self._probing:
            self._probe_after = min(self._probe_after * 2, _LAST_PROBE)
            self._probing = False
        self._ceiling = max(self.size - 1, 1)
        # One step down is enough after a probe. A second refusal without a whole window of successes in between
        # means that the window is far too wide, as after a doubling.
        self.size = self._ceiling if self._refused_in_row == 1 else max(self.size // 2, 1)
