"""Reads the configuration of an instance, and finds the keys that no instance reads."""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from flask_powerauth_telemetry.config.base import Refused, Value, refuse_unclean
from flask_powerauth_telemetry.config.keys import (
    DEFAULT_NAME,
    FILE_SUFFIX,
    KINDS,
    TelemetryConfig,
    key_prefix,
    known_keys,
)
from flask_powerauth_telemetry.config.mappings import CREATE
from flask_powerauth_telemetry.exceptions import ConfigurationError

_PREFIX = key_prefix(DEFAULT_NAME)
_PREFIX_WORDS = ("POWERAUTH_", "TELEMETRY_")
_FLASK_PREFIX = "FLASK_"
_REPLACEABLE = ("DATABASE_URL", "CREDENTIALS")
"""Without these an application starts only where an argument or a recording stands for them."""


def load_config(values: Mapping[str, Any], name: str = DEFAULT_NAME) -> TelemetryConfig:
    """The configuration of the instance ``name`` out of an application's whole configuration.

    Raises ``ConfigurationError`` with the key, the cause and the cure for the first wrong one.
    """
    _refuse_misspelt(values, name)
    configured = frozenset(key for key in known_keys(name) if values.get(key) is not None)
    config = TelemetryConfig(name=name, configured=configured, **dict(_given(values, name)))
    _check_scopes(config)
    return config


def _given(values: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """The fields that are configured; None counts only where it is a choice or a slip."""
    for field, kind in KINDS.items():
        key = key_prefix(name) + field.upper()
        path = values.get(key + FILE_SUFFIX) if kind.file else None
        try:
            raw = _written(values, key, kind) if path is None else _content(values, key, path, kind)
            is_said = path is not None or (key in values and (kind.allow_none or kind.closing))
            if raw is not None or is_said:
                yield field, kind.deserialize(raw)
        except Refused as refused:
            cause = refused.cause if path is None else f"{refused.cause} ({key}{FILE_SUFFIX})"
            cure = refused.cure if path is not None else _cure_where_it_is_set(key, refused)
            cure = cure.replace(CREATE, create_command(name))
            raise ConfigurationError(key, cause, cure) from refused


def _written(values: Mapping[str, Any], key: str, kind: Value) -> Any:
    """What stands in the configuration; of the environment, as its JSON is really written."""
    raw = values.get(key)
    text = os.environ.get(_FLASK_PREFIX + key)
    if isinstance(raw, dict) and text is not None:
        with suppress(ValueError, RecursionError):
            if json.loads(text) == raw:
                kind.parse(text)
    return raw


def create_command(name: str) -> str:
    """The command that makes credentials for the instance ``name``."""
    return CREATE if name == DEFAULT_NAME else f"{CREATE} --instance {name}"


def _cure_where_it_is_set(key: str, refused: Refused) -> str:
    """The cure, to be pasted into the environment if the key comes from there."""
    variable = next((name for name in os.environ if name.endswith(key)), None)
    if variable is None or refused.instead is None:
        return refused.cure
    text = _in_environment(refused.instead).replace("'", "'\\''")
    return refused.cure_by(f"{variable}='{text}'")


def _in_environment(value: Any) -> str:
    """A value as ``from_prefixed_env`` takes it: JSON, or the bare text where that is none."""
    if isinstance(value, str):
        with suppress(ValueError):
            json.loads(value)
            return json.dumps(value)
        return value
    return json.dumps(value)


def _content(values: Mapping[str, Any], key: str, path: Any, kind: Value) -> Any:
    if values.get(key) is not None:
        raise Refused(f"{key}{FILE_SUFFIX} is set as well", "Set one of the two")
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise Refused("the file's path must be text", "Write the whole path")
    refuse_unclean(str(path))
    try:
        with open(path, encoding="utf-8-sig") as file:  # some editors begin with a BOM
            text = file.read()
    except OSError as error:
        raise _unreadable(str(path), key, error) from None
    except ValueError:
        raise Refused("the file is not UTF-8", "Save it as UTF-8") from None
    if "\0" in text:  # of ASCII in UTF-16 every second byte
        raise Refused("the file is not UTF-8", "Save it as UTF-8")
    return kind.parse(text)


def _unreadable(path: str, key: str, error: OSError) -> Refused:
    """Why a file can't be read. A path may be the secret itself by mistake, and is not shown."""
    cause = f"can't read the file: {error.strerror}"
    if isinstance(error, IsADirectoryError):
        cure = "Name a file in it. Docker makes a directory of a mounted file that is missing"
    elif isinstance(error, PermissionError):
        cure = "Let the user that this process runs as read it, and the directories above it"
    elif path.startswith("~"):
        cure = "Write the whole path: ~ stands for nothing here"
    elif not os.path.isabs(path):
        cure = (
            f"Write the whole path, or the value itself in {key}: it is looked for in {os.getcwd()}"
        )
    else:
        cure = "Correct the path, or mount the file"
    return Refused(cause, cure)


def _refuse_misspelt(values: Mapping[str, Any], name: str) -> None:
    prefix, known, of_default = key_prefix(name), known_keys(name), known_keys()
    for key in values:
        if key in known or key in of_default:  # an instance may be called "history"
            continue
        if (plain := key.upper().removeprefix(_FLASK_PREFIX)) in known:
            raise _no_such_key(key, [plain])
        if not key.startswith(prefix):
            if _is_almost_ours(key) and (close := get_close_matches(key, known, 1, 0.9)):
                raise _no_such_key(key, close)
            continue
        if (plain := key.removesuffix(FILE_SUFFIX)) in known:
            raise ConfigurationError(key, f"{plain} can't be read from a file", f"Set {plain}")
        if _split(key) is not None:
            continue  # a key of an instance with another name
        if likely := _likely(key, prefix, known):
            raise _no_such_key(key, likely)


@lru_cache  # most keys are Flask's own, the same in each application
def _is_almost_ours(key: str) -> bool:
    begin = key[: len(_PREFIX)]
    return begin != _PREFIX and bool(get_close_matches(begin, [_PREFIX], cutoff=0.8))


def _no_such_key(key: str, likely: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        key, "there is no such key", f"Did you mean {' or '.join(sorted(likely))}"
    )


def _likely(key: str, prefix: str, known: Collection[str]) -> Sequence[str]:
    """The keys that have the written words in them, or else the one that looks most like it."""
    written = key.removeprefix(prefix)
    names = [name.removeprefix(prefix) for name in known]
    solid = written.replace("_", "")
    same_kind = [name for name in names if name.endswith(FILE_SUFFIX) == key.endswith(FILE_SUFFIX)]
    likely = [name for name in same_kind if len(solid) > 2 and solid in name.replace("_", "")]
    return [prefix + name for name in likely or get_close_matches(written, names, n=1, cutoff=0.72)]


def _split(key: str) -> tuple[str, str] | None:
    """The name of the instance that would read a key of this spelling, and the rest of the key."""
    rest = key.removeprefix(_PREFIX)
    fields = [name.removeprefix(_PREFIX) for name in known_keys()]
    fitting = [field for field in fields if rest.endswith(f"_{field}")]
    if not key.startswith(_PREFIX) or not fitting:
        return None
    field = max(fitting, key=len)
    return rest.removesuffix(f"_{field}").lower(), field


@dataclass(frozen=True)
class Unread:
    """A key, or a variable of the environment, that no instance reads: why, and what to do."""

    name: str
    cause: str
    cure: str

    def __str__(self) -> str:
        return f"{self.name}: {self.cause}. {self.cure}."


def unread_keys(values: Mapping[str, Any], configs: Sequence[TelemetryConfig]) -> Iterator[Unread]:
    """What looks like a key of the extension, and is read by none of an application's instances.

    To be asked when all instances are made: one may read what another one doesn't.
    """
    known = {key for config in configs for key in known_keys(config.name)}
    configured = frozenset[str]().union(*(config.configured for config in configs))
    for key in sorted(values):
        if values[key] is None or not key.startswith(_PREFIX) or key in configured:
            continue
        if key in known:
            cause = "it was set after init_app, and is not read"
            yield Unread(key, cause, "Set it before the extension is made")
        else:
            yield Unread(key, "no instance reads it", _cure_of_unread(key, configs, known))
    replaceable = {
        key_prefix(config.name) + name + suffix
        for config in configs
        for name in _REPLACEABLE
        for suffix in ("", FILE_SUFFIX)
    }
    variables = _variables()
    for key in sorted(known - values.keys() - replaceable):
        if cure := _cure_by_environment(key, variables):
            yield Unread(key, "it did not get into the configuration", cure)


def _cure_of_unread(key: str, configs: Sequence[TelemetryConfig], known: Collection[str]) -> str:
    names = [config.name for config in configs]
    if (parts := _split(key)) is not None:
        name, field = parts
        if close := get_close_matches(name, names, n=1):
            return f"Did you mean {key_prefix(close[0])}{field}"
        there = ", ".join(sorted(names))
        return f"Make the instance {name!r} (there are: {there}), or correct or remove the key"
    rests = [one.removeprefix(_PREFIX) for one in known]
    close = get_close_matches(key.removeprefix(_PREFIX), rests, n=1)
    return f"Did you mean {_PREFIX}{close[0]}" if close else "Correct or remove it"


def cure_of_missing(key: str, otherwise: str) -> str:
    """What to do about a key that is not configured, though the environment may have it."""
    variables = _variables()
    by_file = _cure_by_environment(key + FILE_SUFFIX, variables)
    return _cure_by_environment(key, variables) or by_file or otherwise


def _variables() -> dict[str, str]:
    """The names in the environment, by how they would be spelt as a key."""
    # Two underscores, by which Flask puts one mapping into another, look like one.
    return {re.sub("_+", "_", name.upper()): name for name in os.environ}


def _cure_by_environment(key: str, variables: Mapping[str, str]) -> str | None:
    right = _FLASK_PREFIX + key
    if right in os.environ:
        cure = "call app.config.from_prefixed_env() before the extension is made"
        return f"The environment has {right}: {cure}"
    misspelt = (right, key, *(right.replace(word, "", 1) for word in _PREFIX_WORDS))
    wrong = next((variables[name] for name in misspelt if name in variables), None)
    return f"The environment has {wrong}: name it {right}" if wrong else None


def _check_scopes(config: TelemetryConfig) -> None:
    if config.scopes is not None and not config.strict_application:
        raise ConfigurationError(
            config.key("strict_application"),
            f"False does not go with {config.key('scopes')}:"
            " what is out of scope would be answered with 0 users",
            "Leave one of the two out",
        )
