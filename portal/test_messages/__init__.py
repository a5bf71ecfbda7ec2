"""Test messages: one message to any address by the default or a chosen connection, followed to its end.

Offers `sending.send_test_message` and the pages `/test-messages/…`. It goes through the one door, the outbox and
the worker like all mail, is tried once, and only by the connection that was named. Never opens a connection itself.
"""
