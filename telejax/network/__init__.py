"""The world between the slots: whatever is not ideal reaches a method through three verbs."""

from telejax.network import activation, attacks, faults, links, machines, presence
from telejax.network.network import IDEAL, Network

__all__ = ["IDEAL", "Network", "activation", "attacks", "faults", "links", "machines", "presence"]
