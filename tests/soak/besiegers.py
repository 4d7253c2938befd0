"""The attacks of tests/siege as clients of the soak, each in a process of its own."""

import asyncio
import pathlib
import sys

import tempers

SIEGE = pathlib.Path(__file__).resolve().parent.parent / "siege"
sys.path.append(str(SIEGE))

import attacker  # noqa: E402
import attacks  # noqa: E402, F401

SECONDS = 10  # until an attack begins anew


def besieger(attack):
    async def besieging(load, _name):
        address = "{}:{}".format(*load.address)
        while True:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, SIEGE / "alone.py", address, attack.name, str(SECONDS)),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                _, errors = await child.communicate()
            finally:
                await child.wait()  # which must not end in the middle of an answer
            if child.returncode:
                raise tempers.Broken(f"{attack.name} has failed: {errors.decode()[-500:]}")
            load.count("besieged")

    besieging.__name__ = attack.name
    return besieging


# Those that want no server of their own.
CROWD = [
    (besieger(attack), 1)
    for attack in attacker.ATTACKS.values()
    if not attack.options and not attack.needs
]
