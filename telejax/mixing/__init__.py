"""Gossip on the device."""
