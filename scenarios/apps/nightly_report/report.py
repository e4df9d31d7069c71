"""``report.py COUNT``: a nightly job that reads COUNT sales and prints the total of each product."""

import random
import sys
from collections import defaultdict


def sales(count: int) -> list[tuple[str, int]]:
    """Made up, the same every night: product and cents. All of them at once, as such scripts do."""
    dice = random.Random(5)
    return [(f"product {dice.randrange(500):03}", dice.randrange(100, 20_000)) for _ in range(count)]


def main(count: int) -> None:
    totals: defaultdict[str, int] = defaultdict(int)
    for product, cents in sales(count):
        totals[product] += cents
    for product, cents in sorted(totals.items()):
        sys.stdout.write(f"{product} {cents / 100:.2f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
