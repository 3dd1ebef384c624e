"""Decide whether a model fits: the most layers that a device takes, and the largest context."""

from __future__ import annotations

import os
from collections.abc import Callable

import attrs
from attrs import frozen

from modelshelf.model import MemoryEstimate, MemoryRequest

_STEP = 256  # tokens; the engine rounds contexts to multiples of it
_CGROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


@frozen(kw_only=True)
class Room:
    """Memory that a model may take.

    Attributes:
        device: Bytes of the device; None means that there is none, so that everything lies on the host.
        host: Bytes of the host; None means that it is not known, and not judged.
        source: Where the host's number was read, or who gave it.
    """

    device: int | None = None
    host: int | None = None
    source: str = ""


@frozen(kw_only=True)
class Fit:
    """Whether a model fits.

    Attributes:
        verdict: In words: ``fits``, ``fits with 7 layers on the host``, ``lacks 1.5 GiB``, ``unknown``.
        fits: True or False; None where an item or the room is unknown.
        estimate: What it needs as it was placed.
        context_max: The largest context that fits, at most the one that it was trained for; None for none.
    """

    verdict: str
    fits: bool | None
    estimate: MemoryEstimate
    context_max: int | None = None


def fit(ask: Callable[[MemoryRequest], MemoryEstimate], request: MemoryRequest, room: Room) -> Fit:
    """Place a model in the room that there is.

    Args:
        ask: Estimates one model for a request.
        request: How it is to be run; without `device_layers` as many are placed as the device takes.
        room: The memory.
    """
    found = _placed(ask, request, room)
    if found.fits is None:
        return found
    return attrs.evolve(found, context_max=_largest_context(ask, request, room, found))


def _placed(ask: Callable[[MemoryRequest], MemoryEstimate], request: MemoryRequest, room: Room) -> Fit:
    if room.device is None:
        return _judged(ask(attrs.evolve(request, device_layers=0)), room)
    whole = _judged(ask(request), room)
    layers = whole.estimate.layers
    if whole.fits is not False or request.device_layers is not None or not layers:
        return whole
    low, high, best = 0, layers - 1, None
    while low <= high:  # the more layers lie on the device, the more of it they take
        middle = (low + high + 1) // 2
        estimate = ask(attrs.evolve(request, device_layers=middle))
        if (estimate.device_bytes or 0) <= room.device:
            low, best = middle + 1, estimate
        else:
            high = middle - 1
    if best is None:
        return whole
    partly = _judged(best, room)
    if not partly.fits:
        return partly
    on_host = layers - (best.device_layers or 0)
    return attrs.evolve(partly, verdict=f"fits with {on_host} layers on the host")


def _judged(estimate: MemoryEstimate, room: Room) -> Fit:
    device, host = estimate.device_bytes, estimate.host_bytes
    if device is None or host is None or (room.device is None and room.host is None):
        return Fit(verdict="unknown", fits=None, estimate=estimate)
    lacking = max(device - room.device, 0) if room.device is not None else 0
    if room.host is not None:
        lacking += max(host - room.host, 0)
    if lacking:
        return Fit(verdict=f"lacks {lacking / (1 << 30):.2f} GiB", fits=False, estimate=estimate)
    return Fit(verdict="fits", fits=True, estimate=estimate)


def _largest_context(
    ask: Callable[[MemoryRequest], MemoryEstimate], request: MemoryRequest, room: Room, found: Fit
) -> int | None:
    trained = found.estimate.context_max
    step = _STEP * (1 if request.unified else request.parallel)
    low, high, best = 1, (trained or 0) // step, None
    while low <= high:  # a larger context never needs less
        middle = (low + high + 1) // 2
        if _placed(ask, attrs.evolve(request, context=middle * step), room).fits:
            low, best = middle + 1, middle * step
        else:
            high = middle - 1
    return best


def host_room(root: str = "/") -> tuple[int | None, str]:
    """Bytes of the host's memory that are available, and where that was read.

    A limit of a control group counts where it leaves less.

    Args:
        root: The root of the file system, for recorded trees.
    """
    found = _available(os.path.join(root, "proc/meminfo"))
    source = "/proc/meminfo MemAvailable" if found is not None else ""
    for limit_name, used_name in _CGROUPS:
        limit, used = (_number(os.path.join(root, name)) for name in (limit_name, used_name))
        if limit is not None and used is not None and (found is None or limit - used < found):
            found, source = max(limit - used, 0), f"/{limit_name}"
    return found, source


def _available(path: str) -> int | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name == "MemAvailable":
                    return int(value.split()[0]) << 10
    except (OSError, ValueError, IndexError):
        return None
    return None


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return int(file.read(64))
    except (OSError, ValueError):  # "max" where there is no limit
        return None
