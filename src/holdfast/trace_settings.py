"""The variables `OTEL_*` that the SDK of OpenTelemetry reads itself: what is wrong with them is told before a server starts.

The SDK would log a line of its own, or raise, and go on with a default: spans would go elsewhere, or nowhere. Values are not told: headers have secrets.
"""

import logging
import math
import os
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from holdfast.config import Config
from holdfast.limits import SPANS_WAITING

_OTLP = "OTEL_EXPORTER_OTLP_"
_ROOTS = ("always_on", "always_off", "traceidratio")
_SAMPLERS = (*_ROOTS, *[f"parentbased_{name}" for name in _ROOTS])
_COMPRESSIONS = ("none", "gzip", "deflate")
_LIMIT = re.compile(r"OTEL_(ATTRIBUTE|SPAN|EVENT|LINK)_\w+_LIMIT")
_HEADER = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+[ \t]*=[ -!#-+\--:<-\[\]-~]*")
_WHOLE = {
    "OTEL_BSP_SCHEDULE_DELAY": (1, 2**31),
    "OTEL_BSP_EXPORT_TIMEOUT": (0, 2**31),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": (1, 2 * SPANS_WAITING),
}


def untraceable(config: Config) -> str | None:
    """Why the traces that are wanted can't be recorded; None if they can, or if none are wanted."""
    return None if config.trace_ratio() is None else unusable()


def unusable() -> str | None:
    """Why spans can't be recorded and exported with the variables that there are, as a sentence; None if they can. Empty ones count as not set."""
    for name in [name for name, value in os.environ.items() if name.startswith("OTEL_") and not value.strip()]:
        del os.environ[name]
    return wrong_variable(os.environ) or _refused_by_sdk()


def wrong_variable(given: MutableMapping[str, str]) -> str | None:
    """The first of the variables with a value that has no sense, as a sentence."""
    found = [
        *_endpoint(given),
        *(_named(given, "PROTOCOL", ("http/protobuf",))),
        *(_named(given, "COMPRESSION", _COMPRESSIONS)),
        *_timeout(given),
        *_headers(given),
        *_files(given),
        *_numbers(given),
        *_sampler(given),
    ]
    return found[0] if found else None


def _in_force(given: MutableMapping[str, str], name: str) -> tuple[str, str] | None:
    """The variable for traces, or else the one for all signals; with its value."""
    for whole in (f"{_OTLP}TRACES_{name}", f"{_OTLP}{name}"):
        if given.get(whole):
            return whole, given[whole]
    return None


def _endpoint(given: MutableMapping[str, str]) -> Iterator[str]:
    if (found := _in_force(given, "ENDPOINT")) is None:
        return
    try:
        url = urlsplit(found[1])
        is_one = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not re.search(r"\s", found[1])
    except ValueError:
        is_one = False
    if not is_one:
        yield f"{found[0]} must be the URL of a collector of OTLP over HTTP, such as http://localhost:4318."


def _named(given: MutableMapping[str, str], name: str, known: tuple[str, ...]) -> Iterator[str]:
    if (found := _in_force(given, name)) is not None and found[1].strip().lower() not in known:
        yield f"{found[0]} must be {' or '.join(known)}; Holdfast knows no other."


def _timeout(given: MutableMapping[str, str]) -> Iterator[str]:
    if (found := _in_force(given, "TIMEOUT")) is not None and not 0 < _number(found[1]) < math.inf:
        yield f"{found[0]} must be a number of seconds above 0."


def _headers(given: MutableMapping[str, str]) -> Iterator[str]:
    if (found := _in_force(given, "HEADERS")) is None:
        return
    parts = [part.strip() for part in found[1].split(",")]
    for number, part in enumerate(parts, 1):
        value = unquote(part.partition("=")[2])
        if part and not (_HEADER.fullmatch(part) and value.isprintable() and value.isascii()):
            yield f"{found[0]} must be NAME=VALUE, separated by commas and with values as in a URL; number {number} is not."


def _files(given: MutableMapping[str, str]) -> Iterator[str]:
    for name in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
        if (found := _in_force(given, name)) is not None and not os.access(Path(found[1]), os.R_OK):
            yield f"{found[0]} names a file that can't be read."


def _numbers(given: MutableMapping[str, str]) -> Iterator[str]:
    bounds = {name: _WHOLE.get(name, (0, 2**31)) for name in given if name in _WHOLE or _LIMIT.fullmatch(name)}
    for name, (low, high) in bounds.items():
        text = given[name].strip()
        if not (text.isdecimal() and low <= int(text[:20]) <= high):
            yield f"{name} must be a whole number from {low} to {high}."


def _sampler(given: MutableMapping[str, str]) -> Iterator[str]:
    sampler = given.get("OTEL_TRACES_SAMPLER", "").lower()
    if sampler and sampler not in _SAMPLERS:
        yield f"OTEL_TRACES_SAMPLER must be one of {', '.join(_SAMPLERS)}."
    elif sampler.endswith("traceidratio") and not 0 <= _number(given.get("OTEL_TRACES_SAMPLER_ARG", "")) <= 1:
        yield f"OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1, which {sampler} needs."


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _refused_by_sdk() -> str | None:
    """What the SDK itself says when it is set up: it raises, or logs a warning and does something else."""
    with _heard() as said:
        try:
            from holdfast import telemetry  # noqa: PLC0415  (what it is made with is an extra, and costs 0.3 s of a start)

            telemetry.Telemetry(0).stop()
        except Exception as error:  # noqa: BLE001  (whatever a variable makes it raise)
            said.append(f"{type(error).__name__}: {error}")
    if not said:
        return None
    return (
        f"The SDK of OpenTelemetry can't be used with the variables OTEL_* that are set: {said[0].splitlines()[0].rstrip('.')}."
    )


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What it logs meanwhile goes here alone."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, listener = logging.getLogger("opentelemetry"), Listener(logging.WARNING)
    propagated = logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagated
