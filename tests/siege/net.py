"""The addresses of the siege, and the cores.

In a network of its own (tests/siege/run makes it) everybody has an address that is not the
loopback's; otherwise all addresses are below 127.
"""

import contextlib
import os

has_own_network = False

# The server's core, and everybody else's; the same one where there are no two.
CORES = sorted(os.sched_getaffinity(0))
OWN, OTHERS = {CORES[0]}, {CORES[-1]}

SERVER, MEMBERS, NEWCOMERS, PROBES, ATTACKER, CROWD, GONE = 0, 1, 2, 3, 66, 67, 68


def address(group, number=1):
    """One of 250 addresses of a group."""
    return f"{'10.66' if has_own_network else '127.66'}.{group}.{1 + (number - 1) % 250}"


def address6(subnet, number):
    """An address of one /64; the server is fd66::1."""
    return f"fd66:0:0:{subnet:x}::{number:x}"


def socket_buffers():
    """Bytes that the kernel holds for all TCP sockets of this machine."""
    with open("/proc/net/sockstat") as stat:
        line = next(line for line in stat if line.startswith("TCP:"))
    return int(line.split()[-1]) * os.sysconf("SC_PAGE_SIZE")


def prefer(pid):
    """Runs a process before all others, where that is permitted: what else this machine does is
    not the siege."""
    with contextlib.suppress(PermissionError):
        # What it starts is like any other process again.
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def stay_apart():
    """Keeps this process, and all that it starts, from the server's core, and before all others."""
    os.sched_setaffinity(0, OTHERS)
    prefer(0)


def separate(server, is_preferred=True):
    """Gives a server a core of its own."""
    os.sched_setaffinity(server, OWN)
    if is_preferred:
        prefer(server)
