"""A group of commands that imports a command's module when it is called, so that `--help` loads none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """`commands_in`: name → help line. Modules lie in `package`, under the command's name or the one in `modules`."""

    def __init__(
        self,
        *args: Any,
        commands_in: Mapping[str, str],
        package: str,
        modules: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self._commands_in = commands_in
        self._package = package
        self._modules = modules or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of use."""
        return list(self._commands_in)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None for an unknown name."""
        if cmd_name not in self._commands_in:
            return None
        command = importlib.import_module(f"{self._package}.{self._modules.get(cmd_name, cmd_name)}").command
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table above, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._commands_in.items()))
