"""What a rule says no with: a value, for whoever asked to tell the client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """A request that won't be done.

    Attributes:
      gate: name of the rule that says so.
      reason: one sentence: what was wanted, what came, what would work.
    """

    gate: str
    reason: str
