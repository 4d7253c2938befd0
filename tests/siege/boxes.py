"""Small machines: how a server is started so that it has little."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess

SKIPS = pathlib.Path(__file__).resolve().parent.parent / "skips"

MEMORY_KIB = 256 << 10  # the most that --memory is by default
ADDRESS_SPACE = 64 << 20
SMALL_MEMORY_KIB = 16 << 10
PERIOD_US, QUOTA_US = 10_000, 1_000  # a tenth of a core, a millisecond at a time


@dataclasses.dataclass
class Box:
    command: list
    options: list = dataclasses.field(default_factory=list)
    budget_kib: int = MEMORY_KIB  # of --memory
    is_preferred: bool = True  # runs before all other processes, and so without a quota


class Skipped(Exception):
    """Cannot be had on this machine."""


@contextlib.contextmanager
def plain(binary):
    yield Box([binary])


@contextlib.contextmanager
def small(binary):
    """64 MiB of address space, 16 MiB of which are for peers and rooms."""
    command = ["prlimit", f"--as={ADDRESS_SPACE}", binary]
    yield Box(command, ["--memory", f"{SMALL_MEMORY_KIB}K"], SMALL_MEMORY_KIB)


@contextlib.contextmanager
def tenth(binary):
    """A tenth of a core."""
    group = make_group()
    try:
        command = ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh", binary]
        yield Box(command, is_preferred=False)
    finally:
        os.rmdir(group)


def make_group():
    """A cgroup of version 1 or 2 with this quota."""
    root = pathlib.Path("/sys/fs/cgroup")
    is_first = (root / "cpu").is_dir()
    group = (root / "cpu" if is_first else root) / f"siege-{os.getpid()}"
    try:
        group.mkdir()
        if is_first:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
        else:
            (group / "cpu.max").write_text(f"{QUOTA_US} {PERIOD_US}")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise Skipped(f"no cgroup can be made: {error}") from error
    return group


BOXES = {"plain": plain, "small": small, "tenth": tenth}


def made(name, binary):
    """Such a box; it is gone afterwards."""
    return BOXES[name](binary)


def skip(what, why):
    subprocess.run([SKIPS, "add", what, why], check=True)
