"""Strings with ``${name}`` in them. ``$${`` stands for a literal ``${``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_TOKEN = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed string: ``parts`` holds literal text at even and variable names at odd positions."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Split ``text``; ValueError for a ``${`` that does not start ``${name}``."""
        parts, literal, end = [], "", 0
        for token in _TOKEN.finditer(text):
            literal += text[end : token.start()]
            end = token.end()
            if token[0] == "$${":
                literal += "${"
            elif token[1] is None:
                raise ValueError(
                    f"'${{' without a variable name at character {token.start() + 1}; a literal one is '$${{'"
                )
            else:
                parts += [literal, token[1]]
                literal = ""
        return cls((*parts, literal + text[end:]))

    @property
    def variables(self) -> frozenset[str]:
        return frozenset(self.parts[1::2])

    @property
    def constant(self) -> str | None:
        """The whole text when there is nothing to fill in, else None."""
        return self.parts[0] if len(self.parts) == 1 else None

    def bind(self, values: Mapping[str, str]) -> Template:
        """The same template with the variables in ``values`` filled in for good."""
        merged = [self.parts[0]]
        for name, literal in zip(self.parts[1::2], self.parts[2::2], strict=True):
            if name in values:
                merged[-1] += values[name] + literal
            else:
                merged += [name, literal]
        return Template(tuple(merged))

    def render(self, values: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
        """Fill in every variable, each passed through ``quote``; KeyError with the name of one that has no value."""
        if len(self.parts) == 1:
            return self.parts[0]
        return "".join(quote(values[part]) if index % 2 else part for index, part in enumerate(self.parts))
