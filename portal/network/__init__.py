"""The network policy: which hosts, addresses and ports the portal connects to, and nothing else.

Offers `policy` (what the operator allows) and `addresses` (a host name or address turned into vetted socket
addresses). The address that was vetted is the address to connect to; the name is kept for TLS alone.
PLACE
"""
