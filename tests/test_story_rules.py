"""Items of the story world are well-posed: a rule that reads the text, and nothing else, answers every one."""
import re

import pytest

from simplelm.stories.lexicon import lexicon, read_words
from simplelm.stories.tasks import ITEM_WORDS, STORYWORLD_TASKS, storyworld_items
from simplelm.stories.world import REASONS

POLES = {form: tag[-1] for word in read_words() for tag in word.tags if tag.startswith("scale:") for form in (word.more, word.most)}
GENDERS = {("" if word.pos == "name" else "the ") + word.text.lower(): "he" if tag == "male" else "she"
           for word in read_words() for tag in ("male", "female") if tag in (word.category, *word.tags)}
AUXILIARIES = {"be": ("was", "is"), "have": ("had", "has")}
NAME = r"(?:^|, )((?:the )?\w+)"


def sentences(text):
    """The sentences before the question, in lower case, and the question."""
    parts = [part.lower() for part in re.split(r"(?<=[.?])\s", text)]
    asked = next((i for i, part in enumerate(parts) if part.endswith("?")), len(parts))
    return parts[:asked], parts[asked] if asked < len(parts) else ""


def goals(item): return [choice.lower().rstrip(".").split(" has the ")[0] for choice in item["choices"]]


def moved(story, goals, by_owner):
    """For each move, the choice that it leads to, and the noun or nothing for "it"."""
    moves = []
    for told in story[1:]:
        found = None
        for place, goal in enumerate(goals):
            pattern = rf"(?:^|, ){goal} (?:\w+ )?\w+ (?:the (\w+)|it)\b" if by_owner else rf"\b(?:the (\w+)|it) {goal}\b"
            match = re.search(pattern, told)
            if match: found = place, match[1]
        match = re.search(r"(?:^|, )(?:he|she) (?:\w+ )?\w+ (?:the (\w+)|it)\b", told)
        moves.append(found or (None, match[1]))
    return moves


def read_moves(item):
    """The goal of the last move of the thing; a pronoun stands for the one person who is not named."""
    story, question = sentences(item["context"])
    moves = moved(story, goals(item), question.startswith("who"))
    unnamed = set(range(len(item["choices"]))) - {place for place, _ in moves}
    now = answer = None
    for place, noun in moves:
        now = noun or now
        if now == re.search(r"the (\w+) now", question)[1]: answer = min(unnamed) if place is None else place
    return answer


def read_steps(item):
    """The last place to which the owner of the thing went."""
    story, question = sentences(item["context"])
    owners = {}
    for told in story:
        for match in re.finditer(NAME + r" ha[sd] an? (\w+)", told): owners.setdefault(match[2], match[1])
    owner, who, answer = owners[re.search(r"the (\w+) now", question)[1]], None, None
    for told in story[1:]:
        for place, goal in enumerate(goals(item)):
            match = re.search(NAME + rf" (?:\w+ )?\w+ to {goal.split(' ', 1)[1]}\b", told)
            if not match: continue
            fitting = [name for name in owners.values() if GENDERS.get(name, match[1]) == match[1]]
            if match[1] not in ("he", "she"): who = match[1]
            elif who not in fitting: who = fitting[0]
            if who == owner: answer = place
    return answer


def read_comparison(item):
    """The thing that is never the lesser one, seen from the question."""
    said, question = sentences(item["context"])
    pole, lesser = POLES[re.search(r"the (\w+)\?", question)[1]], set()
    for told in said:
        one, more, other = re.match(r"the (\w+) is (\w+) than the (\w+)", told).groups()
        lesser.add(other if POLES[more] == pole else one)
    return next(place for place, goal in enumerate(goals(item)) if goal.removeprefix("the ") not in lesser)


def inflected(text, tense):
    """A template in the past, 0, or in the present tense, 1."""
    def verb(match):
        word = lexicon().verbs.get(match[1])
        return AUXILIARIES.get(match[1], (word.past, word.third) if word else ())[tense]
    return re.sub(r"@(\w+)", verb, text)


def read_pronoun(item):
    """The person whom the table of reasons names for what happened and for the reason."""
    said = sentences(item["context"])[0][-1].rstrip(".")
    happened, reason = re.split(r" because (?:he|she) ", said, maxsplit=1)
    for rule in REASONS:
        for tense in (0, 1):
            people = re.fullmatch(inflected(rule[0], tense).replace("{who}", "(.+)").replace("{other}", "(.+)").lower(), happened)
            for which in (1, 2):
                if people and inflected(rule[which], tense).lower() == reason: return goals(item).index(people[which])


def read_negation(item):
    """The choice without "not" before it."""
    told = sentences(item["context"])[0][0]
    return next(place for place, goal in enumerate(goals(item)) if re.search(rf"(?<!not ){goal}[,.]", told))


RULES = dict(tracking=read_moves, color=read_moves, steps=read_steps, comparison=read_comparison, pronoun=read_pronoun, negation=read_negation)


@pytest.mark.parametrize("form", ["simple", "standard"])
@pytest.mark.parametrize("task", RULES)
def test_a_reader_answers_every_item(task, form):
    items = storyworld_items(f"storyworld_{task}", form, 256)
    assert [item for item in items if RULES[task](item) != item["label"]] == []


@pytest.mark.parametrize("task", STORYWORLD_TASKS)
def test_items_are_short(task):
    """The text of an item with any of its choices."""
    texts = [f"{item['context']} {choice}" for item in storyworld_items(task, "standard", 64) for choice in item["choices"]]
    assert max(len(text.split()) for text in texts) <= ITEM_WORDS
