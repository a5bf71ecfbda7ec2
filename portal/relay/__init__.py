"""The relay: SMTP submission for applications and old devices (RFC 6409), with a protocol of our own.

Offers `server` (listens, counts, drains) to the process that runs it. Announces only what it honours, answers 250
only after the commit, takes mail from nobody who has not proved which server it is, and never sends: what it took
goes through the one door into the outbox.
"""
