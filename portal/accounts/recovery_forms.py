"""The shape of the forms by which people get back in, and of what they set for that day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField
from wtforms.validators import InputRequired, Length

from portal.accounts.forms import LineField, NewPasswordForm
from portal.accounts.security_questions import LONGEST_ANSWER, LONGEST_QUESTION


class CaptchaFields(FlaskForm):
    """What the proof of work brings; both stay empty where it is off."""

    captcha = HiddenField()
    captcha_answer = HiddenField()


class ForgotPasswordForm(CaptchaFields):
    identifier = LineField(_l("Email address"), [InputRequired(_l("Type your email address."))])


class AnswersForm(NewPasswordForm):
    """A new password, after the answers to the person's questions: `answer_1` and on."""

    @classmethod
    def asking(cls, questions: Sequence[str]) -> Self:
        """The form with a field for each question, whose label it is."""
        form: Self = _with_fields(cls, answer_fields(questions))()
        return form

    def answers(self) -> list[str]:
        """In the order of the questions."""
        return [field.data or "" for field in self.answer_fields()]

    def answer_fields(self) -> list[Any]:
        return [field for field in self if field.name.startswith("answer_")]


class ResetByCodeForm(AnswersForm, CaptchaFields):
    identifier = LineField(_l("Email address"), [InputRequired(_l("Type your email address."))])
    code = LineField(_l("Code"), [InputRequired(_l("Type the code of the mail: eight digits."))])


class SecurityQuestionsForm(FlaskForm):
    """`question_1`, `answer_1` and on, as many as the organisation asks."""

    current_password = PasswordField(_l("Current password"), [InputRequired(_l("Type your current password."))])

    @classmethod
    def with_places(cls, count: int, present: Sequence[str]) -> SecurityQuestionsForm:
        """The form with `count` questions, filled in with those that the person has."""
        fields: dict[str, Any] = {}
        for place in range(1, count + 1):
            needed = [InputRequired(_l("Write a question.")), Length(max=LONGEST_QUESTION)]
            fields[f"question_{place}"] = LineField(_l("Question %(place)s", place=place), needed)
            fields |= answer_fields([_l("Answer %(place)s", place=place)], first=place)
        data = {f"question_{place}": question for place, question in enumerate(present, 1)}
        form: SecurityQuestionsForm = _with_fields(cls, fields)(data=data)
        return form

    def fields(self) -> list[tuple[Any, Any]]:
        """The fields of question and answer, in order."""
        count = sum(field.name.startswith("question_") for field in self)
        return [(self[f"question_{place}"], self[f"answer_{place}"]) for place in range(1, count + 1)]

    def pairs(self) -> list[tuple[str, str]]:
        """Question and answer, in order."""
        return [(question.data, answer.data) for question, answer in self.fields()]


def answer_fields(labels: Sequence[Any], first: int = 1) -> dict[str, Any]:
    """A field for each answer; it is drawn as a password and never sent back."""
    needed = [InputRequired(_l("Type your answer.")), Length(max=LONGEST_ANSWER)]
    return {f"answer_{place}": PasswordField(label, needed) for place, label in enumerate(labels, first)}


def _with_fields(form: type[Any], fields: Mapping[str, Any]) -> Any:
    return type(form.__name__, (form,), dict(fields))
