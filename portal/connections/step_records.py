"""Steps of a check as they are stored: StepResults in JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.transports import Diagnosis, Step, StepResult, StepStatus
from portal.wording import Text


def step_to_json(result: StepResult) -> dict[str, Any]:
    """What `step_from_json` reads back."""
    return {
        "step": result.step,
        "status": result.status,
        "elapsed_ms": result.elapsed_ms,
        "seen": result.seen.to_json() if isinstance(result.seen, Text) else result.seen,
        "diagnosis": _diagnosis_to_json(result.diagnosis) if result.diagnosis else None,
        "transcript": list(result.transcript),
    }


def step_from_json(stored: Mapping[str, Any]) -> StepResult:
    """What `step_to_json` wrote."""
    return StepResult(
        step=Step(stored["step"]),
        status=StepStatus(stored["status"]),
        elapsed_ms=stored["elapsed_ms"],
        seen=stored["seen"] if isinstance(stored["seen"], str) else Text.read(stored["seen"]),
        diagnosis=_diagnosis_from_json(stored["diagnosis"]) if stored["diagnosis"] else None,
        transcript=tuple(stored["transcript"]),
    )


def _diagnosis_to_json(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "code": diagnosis.code,
        "cause": diagnosis.cause.to_json(),
        "who": diagnosis.who.to_json(),
        "remedy": diagnosis.remedy.to_json(),
    }


def _diagnosis_from_json(stored: Mapping[str, Any]) -> Diagnosis:
    return Diagnosis(stored["code"], *(Text.read(stored[part]) for part in ("cause", "who", "remedy")))
