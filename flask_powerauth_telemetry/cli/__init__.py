"""The operator's commands: ``flask telemetry ...``.

The group is a plug-in of Flask's command line too, so that credentials can be made before the
application has any and can start.
"""

from collections.abc import Mapping

import click
from werkzeug.utils import import_string

COMMANDS: Mapping[str, str] = {
    "applications": "catalogue:applications",
    "check": "check:check",
    "create-credential": "credentials:create_credential",
    "openapi": "catalogue:openapi",
    "reconcile": "reconcile:reconcile",
    "report": "report:report",
    "reports": "catalogue:reports",
    "snapshot": "snapshot:snapshot",
    "statement": "statement:statement",
}
"""Where each command is, below this package; it is imported when it is asked for."""


class _ImportedCommands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_string(f"{__name__}.{COMMANDS[cmd_name]}")
        return command


@click.group(cls=_ImportedCommands)
def telemetry() -> None:
    """Work with the PowerAuth Telemetry API of this service."""
