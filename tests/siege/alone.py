"""One attack upon a server that runs already, from this machine.

    alone.py HOST:PORT NAME SECONDS

Prints what it cost the attacker, as JSON. The names are those of `tests/siege/run --list`.
"""

import json
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "soak"))

import attacker  # noqa: E402
import attacks  # noqa: E402, F401

if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    attack = attacker.ATTACKS[sys.argv[2]]
    print(json.dumps(attacker.perform(attack, [(host, int(port))], float(sys.argv[3]))))
