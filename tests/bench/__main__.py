"""``make bench``: measure, print tables, write JSON and Markdown. See docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench import machine
from tests.bench.bodies import load_bodies
from tests.bench.parts import ERRORS, PARTS, render
from tests.bench.settings import Settings

_NAMES: Final = [part.name for part in PARTS]

_PAGE_HEAD: Final = """# Performance figures

<!-- Written by `make bench ARGS="--markdown docs/performance-figures.md"`: do not edit. -->

[How they are measured and how to read them](performance.md).
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, help="seconds for each server in a round; wrk takes whole ones (default: 2)")
    add("--rounds", type=int, help="rounds (default: 4)")
    add("--quick", action="store_true", help="about a minute: to see that it works, not to believe")
    add("--only", choices=_NAMES, action="append", help="measure this part only; may be given again")
    add("--loader", choices=("wrk", "python"), help="the load generator (default: wrk where it is installed)")
    add("--json", type=Path, metavar="FILE", help="write everything measured to a file")
    add("--markdown", type=Path, metavar="FILE", help="write the tables to a page, with the machine on top")
    args = parser.parse_args()
    args.seconds = args.seconds or (1.0 if args.quick else 2.0)
    args.rounds = args.rounds or (1 if args.quick else 4)
    if args.seconds <= 0 or args.rounds <= 0:
        parser.error("--seconds and --rounds must be more than zero")
    return args


def main() -> int:
    args = _arguments()
    if sys.platform != "linux":
        print(
            "bench: it reads CPU time and memory of the servers from /proc, so it needs Linux",
            file=sys.stderr,
        )
        return 2
    parts = [part for part in PARTS if args.only is None or part.name in args.only]
    bodies = load_bodies()
    settings = Settings(args.seconds, args.rounds, args.quick, args.loader, _say)
    started = time.monotonic()
    result: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine.describe(),
        "bodies": bodies.source,
        "settings": {
            "seconds": args.seconds,
            "rounds": args.rounds,
            "quick": args.quick,
            "parts": [part.name for part in parts],
        },
    }
    for part in parts:
        try:
            result[part.key] = part.measure(bodies, settings)
        except ERRORS as error:
            print(f"bench: {part.name}: {error}", file=sys.stderr)
            result.setdefault("notMeasured", {})[part.name] = str(error).partition("\n")[0]
    result["settings"]["tookSeconds"] = round(time.monotonic() - started, 1)
    text = render(result)
    print(text)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    if args.markdown is not None:
        args.markdown.write_text(f"{_PAGE_HEAD}\n{text}")
    return 1 if "notMeasured" in result or result.get("served", {}).get("failures") else 0


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
