"""``flask telemetry create-credential``: a token for a principal, and the digest to configure."""

import json

import click

from flask_powerauth_telemetry.auth.credentials import create_token, digest
from flask_powerauth_telemetry.config.base import Refused
from flask_powerauth_telemetry.config.keys import DEFAULT_NAME, key_prefix
from flask_powerauth_telemetry.config.mappings import read_principal


@click.command("create-credential")
@click.argument("name")
@click.option(
    "--instance", default=DEFAULT_NAME, help="The name= of the instance, if it is not the default."
)
def create_credential(name: str, instance: str) -> None:
    """Make application credentials for the principal NAME.

    The token is shown once and kept nowhere: hand it to whoever is to ask for reports, for the
    password field of HTTP Basic. Only its digest is configured.
    """
    try:
        read_principal(name)
    except Refused as refused:
        raise click.BadParameter(f"{refused.cause}. {refused.cure}.") from refused
    token = create_token()
    key = f"{key_prefix(instance)}CREDENTIALS"
    value = json.dumps({name: digest(token)})
    click.echo(f"User name:  {name}")
    click.echo(f"Token:      {token}   (shown this once)")
    click.echo()
    click.echo("Configure it by one of these lines, beside the credentials you have:")
    click.echo(f"{key} = {value}")
    click.echo(f"export FLASK_{key}='{value}'")
