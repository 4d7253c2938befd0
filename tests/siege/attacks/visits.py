"""Visits: a join costs a room, and the server, more than the visitor.

Cost: a handshake for each visit.
"""

import time

import net
from attacker import attack, keep_alive

CROWD = 500
CROWD_PER_ADDRESS = 100
JOINS_A_MINUTE = 300  # and as many at once: the default of --joins


@attack(
    "one visitor joins and leaves a room of 500, as fast as it can",
    needs="network",
    seconds=(12, 3),
)
def visits(siege):
    crowd = []
    for number in range(CROWD):
        source = net.address(net.CROWD, number // CROWD_PER_ADDRESS)
        if peer := siege.member("stadium", name=f"spectator-{number:04}" + "m" * 40, source=source):
            crowd.append(peer)
    keep_alive(siege, crowd)
    start, before = time.monotonic(), len(siege.peers)
    admitted = 0
    while siege.is_on():
        peer = siege.member("stadium")
        if not peer:
            siege.wait(0.01)
            continue
        admitted += 1
        peer.hear(b'"welcome"')
        peer.close()
    made, seconds = siege.peers[before:], time.monotonic() - start
    sent, received = sum(p.sent for p in made), sum(p.received for p in made)
    siege.note(
        f"{admitted / seconds:.0f} visits a second to {len(crowd)}, "
        f"{received / max(1, sent):.0f} bytes for one"
    )
    allowed = JOINS_A_MINUTE * (1 + seconds / 60)
    if admitted > allowed * 1.1:
        siege.fail(f"{admitted} visits of one address in {seconds:.0f} s, {allowed:.0f} may be")
