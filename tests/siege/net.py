"""The addresses of the siege, and the cores.

In a network of its own (tests/siege/run makes it) everybody has an address that is not the
loopback's; otherwise all addresses are below 127.
"""

import contextlib
import os

has_own_network = False

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


def cores():
    """The server's core, and everybody else's; the same one where there are no two."""
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}


def prefer(pid):
    """Runs a process before all others, where that is permitted: what else this machine does is
    not the siege."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
