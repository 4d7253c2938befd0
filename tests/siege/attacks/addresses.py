"""Many addresses of one visitor.

Cost: a handshake for each address.
"""

import net
from attacker import attack

VISITORS = 200
PLACES = 20
OPTIONS = ["--listen", "[fd66::1]:0", "--max-peers-per-ip", str(PLACES)]


@attack("200 addresses of one IPv6 /64", options=OPTIONS, needs="network")
def one_network(siege):
    inside = siege.addresses[1]
    members = []
    while siege.is_on() and len(members) < VISITORS:
        number = len(members) + siege.refused + 1
        if number > VISITORS:
            break
        peer = siege.member("lobby", source=net.address6(1, number), address=inside)
        if peer:
            peer.read_all()
            members.append(peer)
    siege.note(f"{len(members)} of {VISITORS} became members, {PLACES} may")
    if len(members) > PLACES:
        siege.fail(f"{len(members)} members of one /64, where {PLACES} may be")
    if not members:
        siege.fail("nobody became a member")
