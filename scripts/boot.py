"""Boots machines with Hallway on them, and visits: run by scripts/boot, which has what it needs.

    boot.py WORK TARGET...

WORK/TARGET/hallway is the binary, WORK/boot/TARGET a kernel and BusyBox as Debian unpacks them.
"""

import asyncio
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from guests import House, chat, time_of
from websockets.exceptions import WebSocketException

CONNECTIONS = 500
STEP_MIB = 4  # to which the least memory is found
EARLY = "1970-01-01T01:"  # boot-init sets the clock to it: a board without a battery
LATE = "2038-01-19T03:14:08"  # and later to just before this: 32 bits of seconds end here
RESIDENT_KIB = 128  # between two looks at the same server
BOOT_SECONDS = 60  # until it listens; Debian's kernels on a busy host take up to 10
WORD_SECONDS = 30  # until an answer on the console
HERE = Path(__file__).parent

# qemu's command, the kernel's console, the network card, its modules, and the memory that the
# machine has to do with, in MiB.
MACHINES = {
    "armv7": (
        "qemu-system-arm -M virt -cpu cortex-a7",
        "ttyAMA0",
        "virtio-net-device",
        "virtio_mmio virtio_net",
        64,
    ),
    "aarch64": (
        "qemu-system-aarch64 -M virt -cpu cortex-a53",
        "ttyAMA0",
        "virtio-net-device",
        "virtio_mmio virtio_net",
        64,
    ),
    "mipsel": ("qemu-system-mipsel -M malta -cpu 24KEc", "ttyS0", "pcnet", "pcnet32", 64),
    "x86_64": (
        "qemu-system-x86_64 -M q35 -cpu max",
        "ttyS0",
        "virtio-net-pci",
        "virtio_pci virtio_net",
        96,
    ),
}


class Failed(Exception):
    """What went wrong, for people."""


def with_needed(names, folder):
    """The files of these modules, each behind those that it needs."""
    files = []
    for name in names:
        # What is not there is in the kernel itself.
        for path in folder.glob(f"lib/modules/*/kernel/**/{name}.ko"):
            needed = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            needed = [each for each in needed[1].decode().split(",") if each]
            files += [*with_needed(needed, folder), path]
    return list(dict.fromkeys(files))


def make_initramfs(folder, binary, modules):
    """All that the machine has on its disk: BusyBox, Hallway, its init script, its modules."""
    root = folder / "initramfs"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "dev", "modules", "proc"):
        (root / name).mkdir(parents=True)
    shutil.copy(folder / "bin/busybox", root / "bin/busybox")
    shutil.copy(binary, root / "hallway")
    shutil.copy(HERE / "boot-init", root / "init")
    order = with_needed(modules.split(), folder)
    for path in order:
        shutil.copy(path, root / "modules")
    (root / "modules/order").write_text("\n".join(path.name for path in order))
    archive = folder / "initramfs.cpio.gz"
    pack = "find . | cpio --quiet --create --format=newc --owner=+0:+0 | gzip -n >../initramfs.cpio.gz"
    subprocess.run(pack, shell=True, check=True, cwd=root)
    return archive


def free_port():
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Guest:
    """A machine that runs, and its console."""

    def __init__(self, process, address, log):
        self.process = process
        self.address = address
        self.log = log

    async def line(self, pattern, seconds):
        """The next line of the console that matches; fails where the kernel has given up."""
        try:
            async with asyncio.timeout(seconds):
                async for raw in self.process.stdout:
                    self.log.write(raw)
                    line = raw.decode(errors="replace")
                    if found := re.search(pattern, line):
                        return found
                    if found := re.search("(Kernel panic|[^ ]* invoked oom|insmod: can't).*", line):
                        raise Failed(found[0].strip())
        except TimeoutError:
            raise Failed(f"nothing like {pattern} on the console in {seconds} s") from None
        raise Failed(f"the machine ended before {pattern}")

    async def ask(self, word, pattern):
        """What the init script answers."""
        self.process.stdin.write(f"{word}\n".encode())
        return await self.line(f"guest: {pattern}", WORD_SECONDS)

    async def memory(self):
        """KiB resident in the server, and available to others."""
        found = await self.ask("memory", r"resident=(\d+) available=(\d+)")
        return int(found[1]), int(found[2])

    async def power_off(self):
        """SIGTERM to the server, then the machine's own switch."""
        status = await self.ask("stop", r"status=(\d+)")
        if status[1] != "0":
            raise Failed(f"the server ended with status {status[1]}")
        self.process.stdin.write(b"off\n")
        async with asyncio.timeout(WORD_SECONDS):
            self.log.write(await self.process.stdout.read())
            code = await self.process.wait()
        if code != 0:
            raise Failed(f"qemu ended with status {code}")


@contextlib.asynccontextmanager
async def powered_on(name, folder, archive, mib):
    """The machine, killed at the end if it still runs."""
    command, console, card, _, _ = MACHINES[name]
    port = free_port()
    kernel = next((folder / "boot").glob("vmlinu*"))
    process = await asyncio.create_subprocess_exec(
        *command.split(),
        *("-accel", "tcg", "-m", f"{mib}M", "-nographic", "-no-reboot", "-nodefaults"),
        *("-serial", "stdio", "-kernel", kernel, "-initrd", archive),
        *("-append", f"console={console} panic=-1 quiet rdinit=/init"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:8080"),
        *("-device", f"{card},netdev=net"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with (folder / f"console-{mib}.log").open("wb") as log:
            yield Guest(process, f"127.0.0.1:{port}", log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def check_metrics(house, resident):
    """What the server says of its memory is what the kernel counts, but for what came since."""
    _, text = await asyncio.to_thread(house.get, "/metrics")
    told = re.search(rb"^process_resident_memory_bytes (\d+)$", text, re.MULTILINE)
    kib = int(told[1]) // 1024
    if abs(kib - resident) > RESIDENT_KIB:
        raise Failed(f"/metrics says {kib} KiB are resident, the kernel {resident}")


async def visit(name, folder, archive, mib):
    """One boot with all that has to work; what was measured, as a row of the table."""
    start = time.monotonic()
    async with powered_on(name, folder, archive, mib) as guest:
        # The forwarded port takes connections before there is anybody behind it.
        await guest.line("listening addr=", BOOT_SECONDS)
        seconds = time.monotonic() - start
        resident, available = await guest.memory()
        async with House(guest.address) as house:
            await check_metrics(house, resident)
            await chat(house)
            early = await time_of(house, "early")
            await guest.ask("later", "later")
            await house.crowd(CONNECTIONS, room="crowd")
            resident_full, available_full = await guest.memory()
            late = await time_of(house, "late")
        await guest.power_off()
    if not early.startswith(EARLY):
        raise Failed(f"it is {early} where the clock says {EARLY}")
    if late < LATE:
        raise Failed(f"it is {late}, and {LATE} has passed")
    return (
        f"{mib:>4} MiB {seconds:>8.1f} s {resident:>8,} KiB {resident_full:>8,} KiB"
        f" {available:>9,} KiB {available_full:>9,} KiB"
    )


HEAD = f"""\
                     resident                  available
  memory    serving  at start  {CONNECTIONS} peers   at start    {CONNECTIONS} peers"""


def attempt(*boot):
    """The row of a boot, or why there is none."""
    try:
        return asyncio.run(visit(*boot)), None
    except (Failed, AssertionError, OSError, TimeoutError, WebSocketException) as error:
        return None, str(error) or type(error).__name__


def least(name, folder, archive, enough):
    """Boots with less and less; the row of the least that works."""
    best, too_little = None, 0
    while enough - too_little > STEP_MIB:
        mib = (enough + too_little) // 2 // STEP_MIB * STEP_MIB
        row, error = attempt(name, folder, archive, mib)
        if row:
            best, enough = row, mib
        else:
            print(f"  ({mib} MiB: {error})", flush=True)
            too_little = mib
    return best


def boot(work, name):
    """One kind of machine; whether all went well."""
    folder = work / "boot" / name
    *_, modules, mib = MACHINES[name]
    archive = make_initramfs(folder, work / name / "hallway", modules)
    print(f"\n=== {name}", flush=True)
    row, error = attempt(name, folder, archive, mib)
    if not row:
        print(f"FAILED with {mib} MiB: {error}; see {folder}/console-{mib}.log")
        return False
    print(HEAD, row, sep="\n", flush=True)
    if row := least(name, folder, archive, mib):
        print(row)
    return True


def main(work, *names):
    # As if by Ctrl-C, so that machines are switched off.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return 0 if all([boot(Path(work), name) for name in names]) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("boot: stopped")
