"""Kinds of message and their wording: what a message of a kind is called, how urgent it is, and what it says.

Offers `kinds` (what there is) and `rendering` (subject, text and HTML from the shipped wording in
`templates/mail/<kind>/`). Never sends, and never decides who receives a message.
"""
