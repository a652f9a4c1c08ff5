"""The ``gpuward`` command. ``kubectl gpuward`` is the same program under a plugin's name."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import PurePath
from typing import Final, NamedTuple

from webhook.cli.output import COULD_NOT_RUN, INTERRUPTED, PIPE_CLOSED
from webhook.version import __version__

DESCRIPTION: Final = (
    "Admission webhook and policy enforcement for Kubernetes clusters that run AI and ML on accelerators."
)
EPILOG: Final = """exit status:
  0  clean
  1  violations, failures or problems were found
  2  could not run: wrong usage, unreadable input
"""


# No Struct: who asks for the version need not wait for msgspec.
class Command(NamedTuple):
    """One subcommand. Its module has ``add_arguments(parser)`` and ``run(args) -> exit status``."""

    name: str
    help: str
    module: str


# A module is imported when its command is chosen: reviewing a file must not wait for the server's imports.
COMMANDS: Final = (
    Command(
        "review", "review manifests offline: what admission would change and reject", "webhook.cli.review"
    ),
    Command("serve", "run the admission webhook", "webhook.cli.serve"),
    Command("certs", "show, rotate or install the webhook's certificates", "webhook.cli.certs"),
    Command("lint", "check policy files", "webhook.cli.lint"),
    Command("test", "run the cases of policies", "webhook.cli.test"),
    Command("explain", "list the rules, or explain one", "webhook.cli.explain"),
    Command("export", "write policies as Kubernetes' own admission policies", "webhook.cli.export"),
    Command("schema", "print the JSON Schema of policy files", "webhook.cli.schema"),
    Command("rollout", "say what the next mode would do to a namespace, and go there", "webhook.cli.rollout"),
    Command("doctor", "examine an installation for what could lock the cluster", "webhook.cli.doctor"),
    Command("demo", "serve on localhost and send it real ML workloads", "webhook.cli.demo"),
    Command("version", "print the version", "webhook.cli.version"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. ``argv`` is without the program's name."""
    # Looking for pydantic plugins means reading the metadata of every installed package; gpuward uses none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for stream in (sys.stdout, sys.stderr):
        # File names and manifests hold anything; a terminal that cannot show a character must not stop a
        # review.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        status = _run(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
    except SystemExit as end:  # argparse: help was printed, or the usage was wrong
        return end.code if isinstance(end.code, int) else COULD_NOT_RUN
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    except OSError as error:
        print(
            f"gpuward: {error.filename or ''}{': ' if error.filename else ''}{error.strerror or error}",
            file=sys.stderr,
        )
        return COULD_NOT_RUN
    except Exception:  # noqa: BLE001 - status 1 would say that there are violations
        import traceback  # only where something is wrong

        traceback.print_exc()
        print("gpuward: internal error; please report it together with the lines above", file=sys.stderr)
        return COULD_NOT_RUN
    return status


def _discard_output() -> None:
    """Whoever read our output has seen enough; what is still buffered must not be tried again at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _run(argv: list[str]) -> int:
    # No option before the command takes a value, so the first word that is no option is the command.
    chosen = next((word for word in argv if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog=_program(sys.argv[0]),
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gpuward {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    names = [command.name for command in COMMANDS]
    if chosen is not None and chosen not in names:
        from webhook.policy.problems import did_you_mean

        parser.error(
            f'no command "{chosen}"; {did_you_mean(chosen, names) or "commands: " + ", ".join(names)}'
        )
    run = None
    for command in COMMANDS:
        # Making parsers takes time; the others are there to be listed.
        if chosen is None or command.name == chosen:
            subparser = commands.add_parser(
                command.name, help=command.help, description=_sentence(command.help), allow_abbrev=False
            )
            if chosen is not None:
                module = import_module(command.module)
                module.add_arguments(subparser)
                run = module.run
    args = parser.parse_args(argv)
    if run is None:
        parser.print_help(sys.stderr)
        return COULD_NOT_RUN
    status: int = run(args)
    return status


def _program(invoked_as: str) -> str:
    """The program's name in usage lines: as people called it."""
    return "kubectl gpuward" if PurePath(invoked_as).name.startswith("kubectl-gpuward") else "gpuward"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
