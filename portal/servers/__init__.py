"""Applications and devices that send through the portal: what each inherits and overrides, its keys and log-ins.

Offers to API and relay `callers`, `quotas` and `senders`; to the one door `routing` and `inheritance`; to the
worker `ways` (which connections a server's route leads to); to the settings file the section `servers`.
Never composes a message and never sends; a key or password is shown once and kept as its hash.
"""
