"""Can the scores be gamed: the audit table of a run, from its committed rows.

    python benchmarks/audit.py [RUN [REFERENCE]]

Writes audit.md and audit.csv into the run's tables. RUN: nano-reference unless given.
REFERENCE: a run trained without the loss of VERIFY, with which a1 is paired; without one it
is paired with the run itself. Exit status 1 where a strategy is not seen through.
"""
from __future__ import annotations

import sys

from gaming import audit, audit_table
from nanoreason.evaluation.summary import open_run


def main(name: str = "nano-reference", reference: str | None = None) -> int:
    """Write the table; 0 if every strategy is seen through."""
    run = open_run(name, "generations.jsonl")
    other = open_run(reference, "generations.jsonl").read_generations() if reference else None
    found = audit(run.read_generations(), other)
    table = audit_table(found, name, reference)
    table.save(run.tables, "audit")
    print(table)
    return int(any(item["passed"] is False for item in found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
