"""What a test tells a stand-in to do at one step instead of, or besides, its usual answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from tests.outside.stand_in_http import JSON, Answer, Request


class Missing(Enum):
    """The value of a script's change that takes a key out of an answer."""

    MISSING = "missing"


MISSING = Missing.MISSING


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the server does at one step instead of, or besides, its usual answer."""

    step: str
    status: int | None = None
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, object] = field(default_factory=dict)
    about: str = ""
    delay: float = 0.0
    drop: str = ""
    times: int | None = None

    def answer(self) -> Answer | None:
        """What is said instead of the usual; None where the usual is said."""
        if self.status is None and self.body is None:
            return None
        content, kind = self._content()
        return Answer(status=self.status or 200, content=content, headers={"Content-Type": kind, **self.headers})

    def _content(self) -> tuple[bytes, str]:
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if self.body is None or isinstance(self.body, str):
            return (self.body or "").encode(), "text/html; charset=UTF-8"
        return json.dumps(self.body).encode(), JSON

    def changed(self, answer: Answer) -> Answer:
        """The usual answer with other values in its JSON and other headers."""
        content = answer.content
        if self.changes:
            merged = json.loads(content) | self.changes
            content = json.dumps({name: value for name, value in merged.items() if value is not MISSING}).encode()
        return replace(answer, content=content, headers={**answer.headers, **self.headers})


class Scripts:
    """All scripts; the last that fits is obeyed, as often as its `times` says."""

    def __init__(self) -> None:
        self._scripts: list[Script] = []

    def add(self, script: Script) -> None:
        self._scripts.append(script)

    def clear(self) -> None:
        self._scripts.clear()

    def take(self, step: str, request: Request) -> Script:
        """The script for this request, one that changes nothing where none fits."""
        for place in reversed(range(len(self._scripts))):
            script = self._scripts[place]
            if script.step == step and script.about in request.text and script.times != 0:
                if script.times is not None:
                    self._scripts[place] = replace(script, times=script.times - 1)
                return script
        return Script(step=step)
