"""What depends on the machine: how much runs side by side, on which devices, in how much memory."""
