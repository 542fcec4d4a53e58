"""Word problems made to order, each with the dependency graph of its answer.

A problem strings together events of one situation (start, gain, loss, groups, a
fraction or a percentage, a comparison, sharing, a price), see `events`, in English or
Vietnamese words.

Splits. A hash of the question decides between train, dev and test, so no seed can put
the same question into two of them; the base model's own text is drawn from the train
part alone. `test` uses names that training never shows, `test_template` situations that
it never shows, and `test_ood` one step more than training has.
"""
from __future__ import annotations

import random
from collections.abc import Iterator

from nanoreason.data import vietnamese
from nanoreason.data.english import ENGLISH
from nanoreason.data.problem import Problem, question_sha256
from nanoreason.data.stories import (EVENTS, NAMES, SHE, SITUATIONS, TEST_NAMES, RejectedStory,
                                     Scale, Situation, Story, story_line)
from nanoreason.data.verify_lines import write_number

SPLITS = ("train", "dev", "test", "test_template", "test_ood")
LANGUAGES = ("en", "vi", "en+vi")
TRAIN_STEPS = (1, 2, 3, 4, 5)
OOD_STEPS = 6
# Tuning and tests go beyond the numbers of the base's stories: sums go wrong now and then,
# so that VERIFY has errors of the model's own to find.
BASE_SCALE = Scale(99, (6, 70), (3, 50))
SCALE = Scale(199, (6, 150), (3, 110))
_WORDINGS = {"en": ENGLISH, "vi": vietnamese.WORDING}
_SITUATIONS = {"en": SITUATIONS, "vi": vietnamese.SITUATIONS}
_NAMES = {"en": (NAMES, TEST_NAMES), "vi": (vietnamese.NAMES, vietnamese.TEST_NAMES)}


def make_problem(rng: random.Random, situation: Situation, steps: int, names: tuple[str, ...],
                 split: str, scale: Scale = SCALE, language: str = "en") -> Problem:
    """One problem with exactly `steps` steps; numbers are redrawn until they work out."""
    wording = _WORDINGS[language]
    while True:
        subject = rng.choice(names)
        pronoun = ("she" if subject in SHE else "he") if situation.person else "it"
        story = Story(rng, situation, scale, wording, subject,
                      pronoun if language == "en" else subject)
        events = story_line(steps, rng)
        distractor = rng.randrange(1, len(events)) if rng.random() < 0.3 else 0
        try:
            for position, name in enumerate(events):
                if position and position == distractor:
                    n = story.draw(2, 60)
                    story.take(n)
                    story.say(rng.choice(wording.distractors).format(n=n))
                EVENTS[name](story)
        except RejectedStory:
            continue
        question = " ".join(story.sentences)
        details = {"given": tuple(story.given), "find": story.find, "events": tuple(events),
                   "situation": situation.key, "distractor": bool(distractor)}
        return Problem(f"procedural-{question_sha256(question)[:12]}", "procedural", split,
                       language, question, write_number(story.steps[-1].value),
                       tuple(story.steps), details)


def hash_split(question: str) -> str:
    """train, dev or test by the question's hash: 1 part dev, 3 parts test, 16 train."""
    part = int(question_sha256(question)[:8], 16) % 20
    return "dev" if part == 0 else "test" if part <= 3 else "train"


def problems(split: str, count: int, seed: int, steps: tuple[int, ...] | None = None,
             language: str = "en") -> Iterator[Problem]:
    """`count` different problems of a split, the same ones for the same seed.

    language: "en", "vi", or "en+vi" for one of the two, drawn for each problem.
    Raises `ValueError` for an unknown split or language.
    """
    for name, value, known in (("split", split, SPLITS), ("language", language, LANGUAGES)):
        if value not in known:
            raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")
    return _problems(split, count, seed, steps, language.split("+"))


def _problems(split: str, count: int, seed: int, steps: tuple[int, ...] | None,
              languages: list[str]) -> Iterator[Problem]:
    rng = random.Random(f"procedural/{split}/{seed}")
    held_out, unseen_names = split == "test_template", split not in ("train", "dev")
    steps = steps or ((OOD_STEPS,) if split == "test_ood" else TRAIN_STEPS)
    seen: set[str] = set()
    while len(seen) < count:
        language = languages[0] if len(languages) == 1 else rng.choice(languages)
        situations = [s for s in _SITUATIONS[language] if s.held_out == held_out]
        problem = make_problem(rng, rng.choice(situations), rng.choice(steps),
                               _NAMES[language][unseen_names], split, language=language)
        wanted = split if split in ("train", "dev") else "test"
        if problem.id not in seen and hash_split(problem.question) == wanted:
            seen.add(problem.id)
            yield problem
