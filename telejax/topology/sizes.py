"""How large a graph may be: refused before any of it is made."""

from typing import Any

from telejax.backend.host import check_host_memory
from telejax.errors import check_integer, short

MAX_NODES = 2**53  # floats count no further
ENTRY_BYTES = 100  # a weight while its matrix is made from edges (measured 40 to 95)


def check_nodes(nodes: Any) -> int:
    """A number of nodes as an int, or a ValueError where no graph has so many."""
    if (count := check_integer("nodes", nodes, minimum=1)) > MAX_NODES:
        raise ValueError(f"nodes is {short(nodes)}; give at most 2^53, floats count no further")
    return count


def check_entries(name: str, nodes: int, entries: float, bytes_each: int = ENTRY_BYTES) -> None:
    """Refuse a graph whose matrices hold so many weights that they do not fit, before any is made."""
    check_host_memory(f"{name} with {nodes} nodes and {entries:.2g} weights", bytes_each * entries, "give fewer")
