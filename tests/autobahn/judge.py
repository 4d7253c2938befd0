"""Judges a report of the Autobahn cases: judge.py INDEX.JSON

Every case has to pass strictly, and to end with a close code rather than a lost connection.
"""

import json
import sys
from collections import Counter

CASES = 301

# The suite itself calls these informational: the RFC leaves both ends free. 7.1.6 sends 256 KB
# right before its Close; 7.13.x use close codes that no endpoint may.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}

# The client's Close has no code in it, so ours has none (RFC 6455, section 5.5.1).
WITHOUT_CODE = {"7.3.1"}


def fault(case, result):
    """What is wrong with a result, or None."""
    expected = "INFORMATIONAL" if case in INFORMATIONAL else "OK"
    for aspect in ("behavior", "behaviorClose"):
        if result[aspect] != expected:
            return f"{aspect} is {result[aspect]}, not {expected}"
    if result["remoteCloseCode"] is None and case not in WITHOUT_CODE:
        return "ended without a close code"
    return None


def main(path):
    with open(path) as file:
        (results,) = json.load(file).values()
    faults = {case: fault(case, result) for case, result in results.items()}
    faults = [f"{case}: {what}" for case, what in faults.items() if what]
    if len(results) != CASES:
        faults.append(f"{len(results)} cases ran, not {CASES}")
    for what in faults:
        print(f"FAIL  {what}")
    sections = Counter(int(case.split(".")[0]) for case in results)
    print(", ".join(f"section {section}: {count}" for section, count in sorted(sections.items())))
    print(f"{CASES - len(faults)} passed, {len(faults)} failed")
    return bool(faults)


sys.exit(main(sys.argv[1]))
