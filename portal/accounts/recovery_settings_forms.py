"""The shape of the recovery settings form."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, RadioField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange, ValidationError
from wtforms.widgets import HiddenInput

from portal.accounts import recovery_settings as rules
from portal.accounts.forms import LineField
from portal.accounts.password_patterns import LONGEST_EXPRESSION, LONGEST_MESSAGE, Pattern, check_expression
from portal.accounts.recovery_settings import RecoverySettings, SavedSettings
from portal.email_settings.checked_fields import CheckedField, explain
from portal.extensions import config
from portal.mail.header_text import check_header_text

PLACES = range(1, rules.MOST_PATTERNS + 1)


class NumberField(IntegerField):
    """A whole number within bounds, which the message names."""

    def __init__(self, label: Any, *, least: int, most: int, **kwargs: Any) -> None:
        words = _l("Type a whole number from %(least)s to %(most)s.", least=least, most=most)
        super().__init__(label, [InputRequired(words), NumberRange(least, most, words)], **kwargs)
        self._words = words

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError(self._words) from None


class ProseField(TextAreaField):
    """A few plain lines for people; what cannot be shown in mail or page is refused."""

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = "\n".join((valuelist[0] if valuelist else "").split("\r\n")).strip()

    def pre_validate(self, _form: Any) -> None:
        for line in (self.data or "").split("\n"):
            explain(lambda text: check_header_text(text, limit=rules.LONGEST_TEXT), line)


class RecoverySettingsForm(FlaskForm):
    """`version` is the one that the person saw. Patterns are `pattern_1`, `message_1` and on; empty is none."""

    by_address = BooleanField(_l("Email address"))
    by_user_name = BooleanField(_l("User name"))
    by_custom = BooleanField(_l("The organisation's own attribute of a person"))
    means = RadioField(
        _l("What the mail brings"),
        choices=[
            SelectChoice("link", _l("A link")),
            SelectChoice("code", _l("A code")),
            SelectChoice("both", _l("A link and a code")),
        ],
        default="link",
    )
    attempts = NumberField(_l("Attempts in an hour"), least=1, most=rules.MOST_ATTEMPTS)
    questions = NumberField(_l("Security questions"), least=0, most=rules.MOST_QUESTIONS)
    captcha = BooleanField(_l("Hold back programs"))
    shortest = NumberField(_l("Shortest password"), least=rules.LEAST_SHORTEST, most=rules.MOST_SHORTEST)
    kept_passwords = NumberField(_l("Former passwords that may not come back"), least=0, most=rules.MOST_KEPT)
    redirect_url = CheckedField(
        _l("Where people go afterwards"),
        check=lambda text: rules.check_redirect(text, public_url=config.public_url),
    )
    instructions = ProseField(_l("Instructions"), [Length(max=rules.LONGEST_TEXT)])
    link_text = CheckedField(
        _l("Link on the sign-in page"), check=lambda text: check_header_text(text, limit=rules.LONGEST_LINK_TEXT)
    )
    success_text = ProseField(_l("After success"), [Length(max=rules.LONGEST_TEXT)])
    version = IntegerField(widget=HiddenInput())

    @classmethod
    def showing(cls, saved: SavedSettings) -> RecoverySettingsForm:
        """The form as a GET shows it."""
        kinds = {f"by_{kind}": kind in saved.settings.identifiers for kind in rules.IDENTIFIERS}
        patterns = {f"pattern_{place}": one.expression for place, one in enumerate(saved.settings.patterns, 1)}
        messages = {f"message_{place}": one.message for place, one in enumerate(saved.settings.patterns, 1)}
        data = {"version": saved.version, **kinds, **patterns, **messages}
        form: RecoverySettingsForm = cls(formdata=None, obj=saved.settings, data=data)
        return form

    def validate_by_address(self, _field: BooleanField) -> None:
        if not any(self[f"by_{kind}"].data for kind in rules.IDENTIFIERS):
            raise ValidationError(_l("Choose at least one: people must be able to say who they are."))

    def rows(self) -> list[tuple[Any, Any]]:
        """Expression and message, one pair for each place."""
        return [(self[f"pattern_{place}"], self[f"message_{place}"]) for place in PLACES]

    def to_settings(self) -> RecoverySettings:
        """What was typed. Only after validation."""
        typed = ((expression.data, message.data) for expression, message in self.rows() if expression.data)
        return RecoverySettings(
            identifiers=tuple(kind for kind in rules.IDENTIFIERS if self[f"by_{kind}"].data),
            means=self.means.data,
            attempts=self.attempts.data,
            questions=self.questions.data,
            captcha=bool(self.captcha.data),
            shortest=self.shortest.data,
            patterns=tuple(Pattern(*pair) for pair in typed),
            kept_passwords=self.kept_passwords.data,
            redirect_url=self.redirect_url.value(),
            instructions=self.instructions.data or "",
            link_text=self.link_text.value(),
            success_text=self.success_text.data or "",
        )


class ExpressionField(StringField):
    """A regular expression, as it is: blanks count. Empty is none."""

    def pre_validate(self, _form: Any) -> None:
        if self.data:
            explain(check_expression, self.data)


class MessageField(LineField):
    """What people read whose password lacks what the expression beside it describes."""

    def post_validate(self, form: Any, _validation_stopped: bool) -> None:
        expression = form[self.name.replace("message", "pattern")].data
        if expression and not self.data:
            raise ValidationError(_l("Say what a password must contain: people do not read regular expressions."))


for _place in PLACES:
    _words = {"place": _place}
    setattr(
        RecoverySettingsForm,
        f"pattern_{_place}",
        ExpressionField(_l("Expression %(place)s", **_words), [Length(max=LONGEST_EXPRESSION)]),
    )
    setattr(
        RecoverySettingsForm,
        f"message_{_place}",
        MessageField(_l("Message %(place)s", **_words), [Length(max=LONGEST_MESSAGE)]),
    )
