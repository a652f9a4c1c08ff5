"""The command line as the tests of the documentation read it: argparse's own parsers."""

from __future__ import annotations

import argparse
from importlib import import_module

from webhook.cli.main import COMMANDS


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one subcommand."""
    command = next(command for command in COMMANDS if command.name == name)
    parser = argparse.ArgumentParser(prog=f"gpuward {name}", allow_abbrev=False)
    import_module(command.module).add_arguments(parser)
    return parser


def options(name: str) -> set[str]:
    """The long options of one subcommand, and of the actions below it."""
    return _options(parser_of(name))


def _options(parser: argparse.ArgumentParser) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:  # argparse has no public way to list them
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*(_options(one) for one in action.choices.values()))
        found |= {option for option in action.option_strings if option.startswith("--")}
    return found - {"--help"}
