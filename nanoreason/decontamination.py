"""Train problems that stand in a test set, whole or in part, are taken out.

The usual rule: a train question that shares any 13 consecutive words with a test question
is contaminated (Brown et al. 2020, appendix C). Words are those of the normalised question,
so case, punctuation and spacing make no difference. A question of fewer than 13 words is
compared whole.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from nanoreason.problem import Problem, normalise_question
from nanoreason.records import Rejection

WORDS = 13


def shingles(question: str, words: int = WORDS) -> set[str]:
    """The runs of `words` consecutive words of a question; of a shorter one, all of it."""
    found = normalise_question(question).split()
    last = max(len(found) - words, 0)
    return {" ".join(found[start:start + words]) for start in range(last + 1)} - {""}


class TestSets:
    """The questions that training must not have seen.

    problems: of any sources; rejections among them are passed over. `counts` holds, after
    `clean` has run, the number of train problems taken out by source of the test problem,
    under "questions" how many test questions there are.
    """

    __test__ = False  # a noun, not a test case

    def __init__(self, problems: Iterable[Problem | Rejection], words: int = WORDS):
        self.words, self.counts = words, Counter(questions=0)
        self.owner: dict[str, Problem] = {}  # the first test problem with a run of words
        for problem in problems:
            if isinstance(problem, Problem):
                self.counts["questions"] += 1
                for shingle in shingles(problem.question, words):
                    self.owner.setdefault(shingle, problem)

    def clean(self, problems: Iterable[Problem | Rejection]) -> Iterator[Problem | Rejection]:
        """The problems in order, with a `Rejection` in place of each contaminated one."""
        for problem in problems:
            yield problem if isinstance(problem, Rejection) else self._examined(problem)

    def _examined(self, problem: Problem) -> Problem | Rejection:
        own = shingles(problem.question, self.words)
        shared = sorted(own & self.owner.keys())
        if not shared:
            return problem
        test = self.owner[shared[0]]
        self.counts[test.source] += 1
        return Rejection(problem.id, "contaminated", test.id,
                         f"shares {len(shared)} of its {len(own)} runs of {self.words} words "
                         f"with the test problem {test.id}")
