"""The configuration file: TOML, whose keys are options of the command line by other names (sensor.options).

What the command line says comes before what the file says, and that before the default.
"""
import re
from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource

from sensor.errors import ConfigError, UnknownName
from sensor.options import Setting, settings

HEAD = """\
# CloudMRI: every key, what it means, and its default.
# Keep what you change.  What the command line says comes before what a file says.  Look at a file before it is used:
#   cloudmri check FILE
"""

TEXT = (str, "a string", "strings")
NUMBER = ((int, float), "a number", "numbers")
# what TOML has for a kind of option, and its words for one and for many
KINDS: dict[str, tuple[Any, str, str]] = {
    "integer": (int, "a number", "numbers"), "integer range": (int, "a number", "numbers"),
    "float": NUMBER, "float range": NUMBER, "workers": ((int, str), "a number or a string", "")}


def settled(ctx: click.Context) -> dict[str, Any]:
    """The value of each option of a command: what the command line says, else its --config, else the default.

    The file is read anew by every call.  Raises ConfigError that names file and line.
    """
    said = dict(ctx.params)
    path = said.pop("config", None)
    own = [option for option in ctx.command.params if isinstance(option, Setting)]
    here = [option for option in own if ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE]
    decided = {name for option in here for name in (option.name, option.instead_of)}
    for name, value in (read(path) if path else {}).items():
        if name not in decided and any(option.name == name for option in own):
            said[name] = value
    return said


def read(path: str) -> dict[str, Any]:
    """What a file says, by the name of the option.  Raises ConfigError."""
    import tomllib
    try:
        with open(path) as file:
            text = file.read()
        said = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from None
    known = settings()
    sections = {key.partition(".")[0] for key in known}
    for section, inside in said.items():
        if isinstance(inside, dict) and section not in sections:
            raise ConfigError(f"{path}:{line_of(text, section, '')}: {UnknownName('section', section, sections)}")
    found = {}
    for section, name, value in keys(said):
        key = f"{section}.{name}" if section else name
        try:
            if key not in known:
                elsewhere = [other for other in known if other.endswith(f".{name}")]
                raise ConfigError(f"there is no key {key!r}; did you mean {elsewhere[0]!r}?" if elsewhere
                                  else str(UnknownName("key", key, known)))
            found[known[key].name or ""] = converted(known[key], value)
        except (ConfigError, click.BadParameter) as error:
            what = error.message if isinstance(error, click.BadParameter) else str(error)
            where = f"{path}:{line_of(text, section, name)}"
            raise ConfigError(f"{where}: {what}" if key not in known else f"{where}: {key}: {what}") from None
    return found


def keys(said: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Section, name and value of all that a file says; one that stands in no section has an empty one."""
    for section, inside in said.items():
        if isinstance(inside, dict):
            for name, value in inside.items():
                yield section, name, value
        else:
            yield "", section, inside


def converted(option: Setting, value: Any) -> Any:
    """A value as the command line would give it.  Raises ConfigError for another type, BadParameter for what it may not
    be."""
    kind, one, many = (bool, "true or false", "") if option.is_flag else KINDS.get(option.type.name, TEXT)
    is_list = option.multiple or option.type.name == "names"
    parts = value if is_list and isinstance(value, list) else [value]
    if is_list != isinstance(value, list) or not all(is_a(part, kind) for part in parts):
        raise ConfigError(f"it is {f'a list of {many}' if is_list else one}, not {value!r}")
    if any(isinstance(part, str) and "\0" in part for part in parts):
        raise ConfigError(f"it is without a zero byte, not {value!r}")
    if option.is_flag:
        return value
    if option.multiple:
        return tuple(option.type.convert(part, option, None) for part in parts)
    return option.type.convert(value, option, None)


def is_a(value: Any, kind: Any) -> bool:
    """True and false are no numbers here."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def line_of(text: str, section: str, name: str) -> int:
    """The line, from 1, that a key stands in; that of its section where it cannot be found."""
    here, at = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            here = head[1].strip("\"' ")
            at = number if here == section else at
        elif match := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            key = match[1].replace('"', "").replace("'", "")
            if (here, key) == (section, name) or (not here and key == f"{section}.{name}"):
                return number
    return at


def example() -> str:
    """A file with every key, what it means, and its default; those that have none are commented out."""
    import textwrap
    lines, section = [HEAD], ""
    for key, option in sorted(settings().items(), key=lambda pair: pair[0].partition(".")[0]):
        here, _, name = key.partition(".")
        if here != section:
            lines.append(f"[{here}]")
            section = here
        lines += textwrap.wrap(meaning(option), 118, initial_indent="# ", subsequent_indent="# ")
        value = option.get_default(click.Context(click.Command("")))
        lines.append(f"{name} = {literal(value)}" if is_written(value) else f"# {name} = {sample(option)}")
        lines.append("")
    return "\n".join(lines)


def is_written(value: Any) -> bool:
    """True when TOML can say it: an empty list and None are left to a comment."""
    return isinstance(value, bool | int | float | str) or (isinstance(value, tuple | list) and len(value) > 0)


def meaning(option: Setting) -> str:
    """Its help, its choices and its unit."""
    said = (option.help or "").replace(" (repeatable)", "")
    if isinstance(option.type, click.Choice):
        return f"{said}  One of: {', '.join(option.type.choices)}."
    if option.metavar and option.metavar not in ("NAME", "NET"):
        return f"{said}  ({option.metavar})"
    return said


def sample(option: Setting) -> str:
    """Something that a key without a default may be."""
    return {"interface": '"ens6"', "listen": '["udp://0.0.0.0:4789"]', "only": '["http", "postgresql"]',
            "filter": '"not port 22"'}.get(option.name or "", '["10.0.0.0/8"]')


def literal(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(literal, value))}]"
    return str(value)
