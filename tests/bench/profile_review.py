"""``make profile``: where the time of a review goes, function by function (cProfile), without any server.

A profiler slows calls of Python functions and not those into C, so it shows where to look, not how long it
takes; that is what ``python -m tests.bench --only in-process`` is for.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time

from tests.bench.bodies import ALL, NOTEBOOK, TRAIN, load_bodies
from tests.bench.inprocess import ML_NAMESPACE, NO_LABELS, load_ruleset, path
from webhook.engine.decision import Phase


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile_review", description=__doc__)
    parser.add_argument(
        "--bodies", choices=(TRAIN, NOTEBOOK, ALL), default=ALL, help="which reviews (default: all)"
    )
    parser.add_argument(
        "--phase",
        choices=("mutate", "validate", "both"),
        action="append",
        help="default: mutate and validate in turn",
    )
    parser.add_argument(
        "--ml-namespace", action="store_true", help="a namespace that every shipped policy is about"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default: 5)")
    parser.add_argument("--sort", choices=("cumulative", "tottime", "ncalls"), default="cumulative")
    parser.add_argument("--lines", type=int, default=45, help="how many functions to print (default: 45)")
    args = parser.parse_args()

    bodies = load_bodies().sets[args.bodies]
    phases = [Phase(name) for name in args.phase or ("mutate", "validate")]
    facts = ML_NAMESPACE if args.ml_namespace else NO_LABELS
    ruleset = load_ruleset()
    for body in bodies:
        # The first review of a kind fills caches that later ones find full.
        path(body, ruleset, facts, Phase.BOTH)

    reviews = 0
    profile = cProfile.Profile()
    end = time.perf_counter() + args.seconds
    while time.perf_counter() < end:
        profile.enable()
        for body in bodies:
            for phase in phases:
                path(body, ruleset, facts, phase)
        profile.disable()
        reviews += len(bodies) * len(phases)
    print(f"{reviews} reviews ({args.bodies}; {', '.join(phase.value for phase in phases)})")
    pstats.Stats(profile).strip_dirs().sort_stats(args.sort).print_stats(args.lines)


if __name__ == "__main__":
    main()
