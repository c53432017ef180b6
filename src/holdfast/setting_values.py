"""The value of a setting, from what a flag, a variable or a TOML file says: its type and its bounds, and what is wrong with another."""

from typing import Any


class ConfigError(Exception):
    """A setting has no sense; the message names it, its source and its bound."""


def value_of(setting: Any, given: Any, told: str) -> Any:
    """One value of the right type, within its bounds."""
    reader = {int: _number, bool: _truth, str: _text}.get(setting.type, _texts)
    return reader(given, told, setting.metadata)


def _number(given: Any, told: str, meta: Any) -> int:
    try:
        if isinstance(given, bool | float):
            raise ValueError
        number = int(given)
    except (ValueError, TypeError):
        raise ConfigError(f"{told} must be a whole number, not {given!r}.") from None
    if not meta["low"] <= number <= meta["high"]:
        raise ConfigError(f"{told} must be from {meta['low']} to {meta['high']}, not {number}.")
    return number


def _truth(given: Any, told: str, _: Any) -> bool:
    text = str(given).lower()
    if text not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ConfigError(f"{told} must be true or false, not {given!r}.")
    return text in ("true", "yes", "on", "1")


def _text(given: Any, told: str, meta: Any) -> str:
    if not isinstance(given, str):
        raise ConfigError(f"{told} must be a text, not {given!r}.")
    if "choices" in meta and given not in meta["choices"]:
        raise ConfigError(f"{told} must be one of {', '.join(meta['choices'])}, not {given!r}.")
    return given


def _texts(given: Any, told: str, _: Any) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"{told} must be a list of texts, not {given!r}.")
    return tuple(part.strip() for part in parts if part.strip())
