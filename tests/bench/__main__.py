"""``make bench``: measure, print tables, write JSON. See docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.bench import inprocess, machine, offline, served
from tests.bench.bodies import ALL, NOTEBOOK, TRAIN, load_bodies
from tests.bench.load import LoadError
from tests.bench.report import render
from tests.bench.servers import ServerError

PARTS: Final = ("served", "in-process", "offline")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, help="seconds for each server in a round; wrk takes whole ones (default: 2)")
    add("--rounds", type=int, help="rounds (default: 4)")
    add("--quick", action="store_true", help="under half a minute: to see that it works, not to believe")
    add("--only", choices=PARTS, action="append", help="measure this part only; may be given again")
    add("--loader", choices=("wrk", "python"), help="the load generator (default: wrk where it is installed)")
    add("--json", type=Path, metavar="FILE", help="write everything measured to a file")
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
    parts = args.only or PARTS
    bodies = load_bodies()
    started = time.monotonic()
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "bodies": bodies.source,
        "settings": {"seconds": args.seconds, "rounds": args.rounds, "parts": list(parts)},
    }
    failed = False
    if "served" in parts:
        sets = {name: bodies.sets[name] for name in (TRAIN, ALL)}
        try:
            result["served"] = served.measure(
                sets, seconds=args.seconds, rounds=args.rounds, loader_name=args.loader, say=_say
            )
            failed = bool(result["served"]["failures"])
        except (ServerError, LoadError) as error:
            print(f"bench: {error}", file=sys.stderr)
            failed = True
    if "in-process" in parts:
        _say("in this process")
        sets = {name: bodies.sets[name] for name in (TRAIN, NOTEBOOK, ALL)}
        result["inProcess"] = inprocess.measure(sets, 0.05 if args.quick else 0.5)
    if "offline" in parts:
        _say("offline")
        try:
            result["offline"] = offline.measure(2 if args.quick else 9)
        except offline.OfflineError as error:
            print(f"bench: {error}", file=sys.stderr)
            failed = True
    result["settings"]["tookSeconds"] = round(time.monotonic() - started, 1)
    print(render(result))
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if failed else 0


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
