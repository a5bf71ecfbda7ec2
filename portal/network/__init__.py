"""The network: which hosts, addresses and ports the portal connects to, and its one HTTPS session.

Offers `policy` (what the operator allows), `addresses` (a host name or address turned into vetted socket
addresses) and `https` (calls to providers: proxy, certificate authorities, deadline, size limit). The address that
was vetted is the address to connect to; the name is kept for TLS alone. Never speaks SMTP, never knows a provider.
"""
