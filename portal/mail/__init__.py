"""The message itself: addresses, headers, MIME parts, status codes.

Offers `addresses` (who), `message` (what is sent, as bytes), `headers` (reading names), `status_codes` (what was
answered). Never opens a socket, a file or the database, and never decides whether a message may leave.
Standards: RFC 5322, RFC 2045 to 2047, RFC 2231, RFC 3463, RFC 3834, RFC 6531, RFC 6532.
"""
