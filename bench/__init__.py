"""Measures the portal beside its peers, interleaved, in one run on one machine: `make bench`."""
