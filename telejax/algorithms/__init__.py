"""Decentralized learning algorithms, one a file, each reading like its paper; ``registry`` lists them."""
