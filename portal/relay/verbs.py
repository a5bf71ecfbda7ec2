"""What each command does (RFC 5321 4.1.1, 3207, 4954)."""

from __future__ import annotations

from collections.abc import Callable

from portal.relay import replies
from portal.relay.commands import Command, CommandRefused, parse_recipient, parse_sender
from portal.relay.content import IncomingContent
from portal.relay.replies import Reply
from portal.relay.sign_in import Dialogue
from portal.relay.talk import StartTLS, Submission, Talk, Transaction

_LONGEST_NAME = 255  # octets of a host's name


def obey(talk: Talk, command: Command) -> None:
    """Do what the command says. Raises CommandRefused."""
    act = _ACTS.get(command.verb)
    if act is None:
        raise CommandRefused(replies.UNKNOWN_COMMAND)
    act(talk, command)


def go_on_signing_in(talk: Talk, dialogue: Dialogue, line: bytes) -> None:
    """One line of AUTH. Raises CommandRefused, which ends it."""
    talk.dialogue = None
    dialogue.take(line)
    if dialogue.proof is not None:
        talk.asks = dialogue.proof
        return
    talk.dialogue = dialogue
    talk.output += dialogue.prompt


def _greet(talk: Talk, command: Command) -> None:
    talk.note_idle()
    if not command.argument or len(command.argument) > _LONGEST_NAME:
        raise CommandRefused(replies.NEEDS_NAME)
    talk.reset()
    talk.greeted = command.verb
    lines = [talk.host, *(talk.offers if command.verb == "EHLO" else [])]
    ends = ["-"] * (len(lines) - 1) + [" "]
    talk.output += "".join(f"250{end}{line}\r\n" for end, line in zip(ends, lines, strict=True)).encode()


def _start_tls(talk: Talk, command: Command) -> None:
    _refuse_argument(command)
    if talk.is_secure:
        raise CommandRefused(replies.TLS_IS_ON)
    if talk.scheme != "starttls":
        raise CommandRefused(replies.TLS_NOT_OFFERED)
    talk.lines.clear()  # said before TLS, by whomever (CVE-2011-0411)
    talk.reset()
    talk.output += replies.READY_FOR_TLS
    talk.asks = StartTLS()


def _sign_in(talk: Talk, command: Command) -> None:
    mechanism, _space, initial = command.argument.partition(b" ")
    name = mechanism.decode("ascii", "replace").upper()
    if talk.greeted != "EHLO":
        raise CommandRefused(replies.NEEDS_EHLO)
    if talk.has_signed_in:
        raise CommandRefused(replies.SIGN_IN_AGAIN)
    if talk.transaction is not None:
        raise CommandRefused(replies.SIGN_IN_NOT_NOW)
    if name not in talk.mechanisms:
        needs_tls = not talk.mechanisms and talk.scheme == "starttls"
        raise CommandRefused(replies.NEEDS_TLS if needs_tls else replies.SIGN_IN_UNKNOWN)
    dialogue = Dialogue(name, host=talk.host)
    if initial.strip():
        if name != "PLAIN":
            dialogue.skip_prompt()
        go_on_signing_in(talk, dialogue, initial.strip())
        return
    talk.dialogue = dialogue
    talk.output += dialogue.prompt


def _mail(talk: Talk, command: Command) -> None:
    client = talk.client
    if not talk.greeted:
        raise CommandRefused(replies.NEEDS_EHLO)
    if talk.transaction is not None:
        raise CommandRefused(replies.NESTED_MAIL)
    if client.caller is None:
        can_sign_in, needs_tls = bool(talk.mechanisms), talk.scheme == "starttls"
        raise CommandRefused(replies.needs_proof(client.address, can_sign_in=can_sign_in, needs_tls=needs_tls))
    sender = parse_sender(command.argument)
    if sender.size is not None and sender.size > client.largest_message:
        raise CommandRefused(replies.too_large(client.largest_message))
    talk.transaction = Transaction(client.caller, sender)
    talk.output += replies.SENDER_OK


def _rcpt(talk: Talk, command: Command) -> None:
    transaction = talk.transaction
    if transaction is None:
        raise CommandRefused(replies.NEEDS_MAIL)
    if len(transaction.rcpt_to) >= talk.client.most_recipients:
        transaction.surplus += 1
        is_flood = transaction.surplus > talk.limits.surplus_recipients
        raise CommandRefused(replies.TOO_MANY_FAILURES if is_flood else replies.TOO_MANY_RECIPIENTS)
    address = parse_recipient(command.argument, needs_smtputf8=transaction.sender.needs_smtputf8)
    if address in transaction.rcpt_to:
        talk.note_idle()
    transaction.rcpt_to[address] = None
    talk.output += replies.RECIPIENT_OK


def _data(talk: Talk, command: Command) -> None:
    _refuse_argument(command)
    transaction = talk.transaction
    if transaction is None:
        raise CommandRefused(replies.NEEDS_MAIL)
    if not transaction.rcpt_to:
        raise CommandRefused(replies.NEEDS_RCPT)
    if len(talk.lines):
        raise CommandRefused(replies.SENT_TOO_EARLY)
    if not talk.budget.has_room:
        talk.reset()
        raise CommandRefused(replies.NO_ROOM)
    talk.arriving = Submission(
        caller=transaction.caller,
        mail_from=transaction.sender.address,
        rcpt_to=tuple(transaction.rcpt_to),
        needs_smtputf8=transaction.sender.needs_smtputf8,
        protocol=talk.protocol,
        content=IncomingContent(talk.client.largest_message, talk.budget),
    )
    talk.output += replies.GO_AHEAD


def _rset(talk: Talk, command: Command) -> None:
    _refuse_argument(command)
    talk.note_idle()
    talk.reset()
    talk.output += replies.OK


def _saying(said: bytes) -> Callable[[Talk, Command], None]:
    def act(talk: Talk, _command: Command) -> None:
        talk.note_idle()
        talk.output += said

    return act


def _quit(talk: Talk, command: Command) -> None:
    _refuse_argument(command)
    talk.output += replies.BYE
    talk.is_over = True


def _not_offered(_talk: Talk, _command: Command) -> None:
    raise CommandRefused(replies.NOT_IMPLEMENTED)


def _not_offered_at_all(_talk: Talk, _command: Command) -> None:
    """What follows it is content, which must not be read as commands."""
    raise CommandRefused(Reply(502, "5.5.1", replies.NOT_IMPLEMENTED.text, closes=True))


def _refuse_argument(command: Command) -> None:
    if command.argument:
        raise CommandRefused(replies.NO_ARGUMENT)


_ACTS: dict[str, Callable[[Talk, Command], None]] = {
    "EHLO": _greet,
    "HELO": _greet,
    "STARTTLS": _start_tls,
    "AUTH": _sign_in,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _data,
    "RSET": _rset,
    "NOOP": _saying(replies.OK),
    "VRFY": _saying(replies.VERIFY),
    "HELP": _saying(replies.HELP),
    "QUIT": _quit,
    "EXPN": _not_offered,
    "ETRN": _not_offered,
    "TURN": _not_offered,
    "BDAT": _not_offered_at_all,
}
