"""Consent and access tokens of mail providers, each provider behind the same few functions.

`provider` holds the plain values and the protocol, `google` and `microsoft` one provider each. These modules talk
to the provider alone: they know neither database nor Flask, keep nothing between two calls, and leave it to the
caller to seal what they return, to compare `state`, and to see to it that one thread at a time renews a grant.
"""
