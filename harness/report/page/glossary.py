"""The words of these reports, explained: in place, where the pointer or the focus rests on one, and as a list at the end."""

from __future__ import annotations

import re

from harness.report.page.tables import esc

# word or expression that finds it in a text, and what it means; longer ones first where one is a part of another
WORDS = {
    "floor": "Memory at a moment without traffic: all requests had ended and the harness waited until memory was still.",
    "round": "One repetition of the same traffic, with a floor before and after it. Growth is judged from round to round.",
    "block": "A part of a round in which one endpoint gets most of the traffic, so that endpoints can be told apart.",
    "PSS": "Proportional set size: memory of a process in which a page that n processes share counts as 1/n.",
    "RSS": "Resident set size: memory of a process with every shared page counted in full, in each process again.",
    "private memory": "Memory that no other process shares; what a process that ended would give back.",
    "95 % CI": "Confidence interval: a method that yields such intervals catches the true value 95 times in 100.",
    "t": "How many standard errors a value lies from zero; beyond about 2 chance alone is unlikely.",
    "Z": "The same for a trend that is judged by ranks: how far from what order by chance would give.",
    "MDL": "Smallest detectable growth: such a run finds a growth of that size nine times in ten.",
    "joined": "Tied to the worker that answered: the harness knows which process served the request.",
    "sweep": "One pass of the sampler over all processes, which reads their memory.",
    "live": "Memory that the program still uses: objects, strings, buffers that it has not freed.",
    "held by allocators": "Memory that the program has freed and the allocator keeps for later, for its own use.",
    "explained": "Share of the memory of a process that the ledger can name a part for.",
}
_PATTERN = re.compile(
    r"(?<=trend )Z\b|\bt(?= of the increments)|"
    + "|".join(
        rf"(?<![\w.]){re.escape(word)}s?(?![\w.])" for word in sorted(WORDS, key=len, reverse=True) if len(word) > 1
    )
)
_KEPT_WHOLE = 12_000  # letters; longer texts are not looked through


class Glossary:
    """Marks the first use of each word in the texts that are given to it."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def mark(self, escaped: str) -> str:
        """HTML of an escaped text, without markup, in which each word that was not there before carries its explanation."""
        return escaped if len(escaped) > _KEPT_WHOLE else _PATTERN.sub(self._explain, escaped)

    def _explain(self, found: re.Match[str]) -> str:
        text = found[0]
        word = text if text in WORDS else text[:-1]
        if word in self._said:
            return text
        self._said.add(word)
        return f'<dfn tabindex="0" title="{esc(WORDS[word], 400)}">{text}</dfn>'


def glossary() -> str:
    """The list, folded."""
    rows = "".join(f"<div><dt>{esc(word)}</dt><dd>{esc(text, 400)}</dd></div>" for word, text in WORDS.items())
    folded = f'<details><summary>{len(WORDS)} words, explained</summary><dl class="words">{rows}</dl></details>'
    return f'<section id="words" aria-labelledby="h-words"><h2 id="h-words">Words</h2>{folded}</section>'
