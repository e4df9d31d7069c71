"""Prints the verdict of one recorded run in a line or two: verdict.py LABEL RUN_DIRECTORY."""

import json
import sys
from pathlib import Path


def main(label: str, run: str) -> None:
    verdict = json.loads(Path(run, "report.json").read_text(encoding="utf-8"))["verdict"]
    confidence = f" ({verdict['confidence']} confidence)" if verdict.get("confidence") else ""
    lines = [f"{verdict['cause']}{confidence}: {verdict['summary']}", f"report: {Path(run, 'report.html')}"]
    sys.stdout.write("".join(f"{name:<20} {line}\n" for name, line in zip([label, ""], lines, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
