"""The stages of a trace, and the one order of everything that is listed by name.

The tags of a stage may be `[PLAN]`, `#### PLAN ####` or `<PLAN>...</PLAN>`; `trace` reads
and writes them.
"""
from __future__ import annotations

import re
from enum import Enum


class Stage(Enum):
    """The four stages in their order; iterate over the class to get that order."""

    UNDERSTAND = "UNDERSTAND"
    PLAN = "PLAN"
    EXECUTE = "EXECUTE"
    VERIFY = "VERIFY"

    @property
    def tag(self) -> str:
        """The stage's tag as it stands on a line of its own, e.g. `[PLAN]`."""
        return f"[{self.value}]"

    @property
    def colour(self) -> str:
        """The stage's colour in every figure and page (hexadecimal RGB)."""
        return _COLOURS[self.value]


_COLOURS = {"UNDERSTAND": "#4477AA", "PLAN": "#332288", "EXECUTE": "#999933", "VERIFY": "#CC6677"}
GROUPS = (*(stage.value.lower() for stage in Stage), "transition")  # a token's, in the loss
SETTINGS = ("natural", "injected", "clean", "intervened")  # a row's
GIVEN = SETTINGS[1:3]  # of rows with a given EXECUTE, which pool with each other
SPLITS = ("test", "test_999", "test_template", "test_ood")  # of procedural problems, for the scores
SOURCES = ("procedural", "gsm8k", "math", "vnhsge")  # of problems, beside files
LANGUAGES = ("en", "vi", "en+vi")  # of procedural problems
ERRORS = ("arithmetic_slip", "wrong_operator", "wrong_operand", "skipped_step",
          "copying_slip")  # kinds that are injected
RESULT, VERDICT, ANSWER = CLOSINGS = ("Result:", "Verdict:", "Answer:")
_NAMES = "|".join(stage.value for stage in Stage)
MARKER = re.compile(
    rf"\[(?P<tag>{_NAMES})\]|#{{2,}}\s*(?P<header>{_NAMES})\s*#{{2,}}"
    rf"|<(?P<element>{_NAMES})>|</(?P<end>{_NAMES})>"
)
NUMBERED = re.compile(r"\s*([0-9]{1,9})\.(?:\s+(.*)|$)", re.DOTALL)
VERDICT_TEXT = re.compile(r"correct|step ([1-9][0-9]{0,5}) is wrong")
