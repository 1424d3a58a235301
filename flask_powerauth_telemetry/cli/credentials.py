"""``flask telemetry create-credential``: a token for a principal, and the digest to configure."""

import json
import shlex

import click
from flask.cli import ScriptInfo

from flask_powerauth_telemetry.auth.credentials import create_token, digest
from flask_powerauth_telemetry.cli.instance import INSTANCE, failures, find_instance
from flask_powerauth_telemetry.config.base import Refused
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME, key_prefix
from flask_powerauth_telemetry.config.mappings import read_principal
from flask_powerauth_telemetry.state import EXTENSION_KEY


@click.command("create-credential")
@click.argument("name")
@INSTANCE
@click.pass_context
@failures()
def create_credential(context: click.Context, name: str, instance: str | None) -> None:
    """Make application credentials for the principal NAME.

    The token is shown once and kept nowhere: hand it to whoever is to ask for reports, for the
    password field of HTTP Basic. Only its digest is configured.
    """
    try:
        read_principal(name)
    except Refused as refused:
        raise click.BadParameter(f"{refused.cause}. {refused.cure}.") from refused
    token = create_token()
    key = f"{key_prefix(_instance_name(context, instance))}CREDENTIALS"
    value = json.dumps({name: digest(token)})
    click.echo(f"User name:  {name}")
    click.echo(f"Token:      {token}   (shown this once)")
    click.echo()
    click.echo("Configure it by one of these lines, beside the credentials you have:")
    click.echo(f"{key} = {value}")
    click.echo(f"export FLASK_{key}={shlex.quote(value)}")


def _instance_name(context: click.Context, name: str | None) -> str:
    """The name of the instance to configure; raises ``UsageError`` where it isn't there."""
    try:
        app = context.ensure_object(ScriptInfo).load_app()
    except (Exception, SystemExit):  # without credentials it can't start
        return name or DEFAULT_NAME
    if name is None and not app.extensions.get(EXTENSION_KEY):
        return DEFAULT_NAME
    return find_instance(app, name).config.name
