"""The attacks: importing this registers all of them, in the order of the table."""

from . import flood  # noqa: F401
from . import replays, histories, places, readers, visits, addresses, signs  # noqa: F401
