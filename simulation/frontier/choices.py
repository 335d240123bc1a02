"""Where a schedule comes from: a seed, or a script of faults."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, MutableSequence
from itertools import combinations, product
from typing import Protocol, TypeVar

__all__ = ["Choices", "RandomChoices", "ScriptedChoices", "enumerate_scripts"]

T = TypeVar("T")


class Choices(Protocol):
    """Decides everything that the rule does not."""

    def pick(self, options: int, rarity: float = 0.0) -> int:
        """A number below `options`; 0 is the usual course, with a probability of at least `rarity`."""
        ...

    def pick_fault(self, options: int) -> int:
        """The fault for the next slot; 0 is none."""
        ...

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put what happens within one millisecond in some order."""
        ...


class RandomChoices:
    """A schedule from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, options: int, rarity: float = 0.0) -> int:
        """A number below `options`."""
        return 0 if rarity and self._random.random() < rarity else self._random.randrange(options)

    def pick_fault(self, options: int) -> int:
        """Any fault, and often one."""
        return self.pick(options, 0.4)

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Any order."""
        self._random.shuffle(items)


class ScriptedChoices(RandomChoices):
    """The faults of a script, and everything else from a seed."""

    def __init__(self, faults: Mapping[int, int], seed: int) -> None:
        super().__init__(seed)
        self._faults = faults
        self._slot = -1

    def pick_fault(self, options: int) -> int:
        """What the script says for this slot."""
        self._slot += 1
        return self._faults.get(self._slot, 0)


def enumerate_scripts(slots: int, options: int, most: int) -> Iterator[dict[int, int]]:
    """Every script with at most so many faults, at every time and of every kind."""
    for number in range(most + 1):
        for chosen in combinations(range(slots), number):
            for values in product(range(1, options), repeat=number):
                yield dict(zip(chosen, values, strict=True))
