"""What a task takes and gives, read once from its function: arguments become a JSON object by name, and come back with their types.

What is to be sent is read back before it is, by the rules of the worker: a producer is told what a worker would refuse.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from holdfast.client.contents import encode
from holdfast.client.worker import HeldJob
from holdfast.tasks.injection import Dependency, dependency_of

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class InvalidArguments(TypeError):
    """The arguments of a call, or the payload of a job, are not those of the task; the text names the first that is wrong."""


class Content:
    """Values of one type, to and from JSON."""

    def __init__(self, kind: Any, about: str) -> None:
        try:
            custom = [each for each in _customs(msgspec.inspect.type_info(kind), set()) if not _is_model(each)]
            self._about = about
            self._decoder = msgspec.json.Decoder(kind, dec_hook=_decoded)
        except Exception as error:  # whatever is wrong with somebody's annotation  # noqa: BLE001
            raise ValueError(f"{about} can't be read from JSON: {error}") from None
        if custom:
            raise ValueError(f"{about} can't be read from JSON: no rule for {custom[0].__qualname__}")

    def read(self, json: bytes | Raw) -> Any:
        """Raises `ValueError`, of msgspec."""
        return self._decoder.decode(json)

    def read_named(self, json: bytes) -> Any:
        """The same, and the error says of what."""
        try:
            return self.read(json)
        except ValueError as error:
            raise ValueError(f"{self._about}: {_words(error)}") from None

    @staticmethod
    def write(value: Any) -> bytes:
        """Raises `TypeError` or `ValueError`."""
        return encode(msgspec.to_builtins(value, str_keys=True, enc_hook=_plain))


class Signature:
    """The parameters of a function, but for a first `job: Job` and what is injected, and its return annotation. Without a function: any arguments by name."""

    def __init__(self, task: str, function: Callable[..., Any] | None) -> None:
        self.task = task
        self.takes_job = False
        self.injected: dict[str, Dependency] = {}
        self._bound: inspect.Signature | None = None
        hints: dict[str, Any] = {}
        if function is not None:
            hints = hints_of(task, function)
            listed = list(inspect.signature(function).parameters.values())
            self.takes_job = bool(listed) and _is_job(hints.get(listed[0].name))
            self.injected = injected_in(task, listed[self.takes_job :], hints)
            given = [each for each in listed[self.takes_job :] if each.name not in self.injected]
            self._bound = inspect.Signature([_checked(task, each, hints) for each in given])
            fields = [
                (name, hints[name]) if one.default is one.empty else (name, hints[name], UNSET)
                for name, one in self.parameters.items()
            ]
            kind = msgspec.defstruct("arguments", fields, kw_only=True, forbid_unknown_fields=True)
        self._arguments = Content(dict[str, Any] if function is None else kind, f"{task}: an argument")
        self.result = Content(hints.get("return", Any), f"{task}: its result")

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Those that a call gives."""
        return {} if self._bound is None else self._bound.parameters

    @property
    def required(self) -> list[str]:
        """The names without a default."""
        return [name for name, one in self.parameters.items() if one.default is one.empty]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """A call's arguments by name; raises `InvalidArguments`."""
        if self._bound is None and args:
            raise InvalidArguments(f"{self.task}: this stub does not know its parameters: name the arguments")
        if injected := self.injected.keys() & kwargs.keys():
            raise InvalidArguments(f"{self.task}: {min(injected)} is injected, and no argument of a call")
        try:
            return self._bound.bind(*args, **kwargs) if self._bound is not None else _bind_any(kwargs)
        except TypeError as error:
            raise InvalidArguments(f"{self.task}: {error}") from None

    def write(self, arguments: dict[str, Any]) -> Raw:
        """The payload; raises `InvalidArguments`. `arguments` become those that the worker will read: keys are made of them, whatever they were given as."""
        parts = []
        for name, value in arguments.items():
            try:
                parts.append(msgspec.json.encode(name) + b":" + Content.write(value))
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidArguments(f"{self.task}: {name}: {error}") from None
        payload = Raw(b"{" + b",".join(parts) + b"}")
        read = self.read(payload)
        if self._bound is not None:
            arguments.update(read)
        return payload

    def read(self, payload: bytes | Raw) -> dict[str, Any]:
        """The arguments by name; raises `InvalidArguments`. No payload at all is no arguments."""
        read = self.read_by(self._arguments, b"{}" if bytes(payload) == b"null" else payload)
        if isinstance(read, dict):
            return read
        return {name: value for name in self.parameters if (value := getattr(read, name)) is not UNSET}

    def read_by(self, content: Content, payload: bytes | Raw) -> Any:
        """What a payload has, by these rules; raises `InvalidArguments`."""
        try:
            return content.read(payload)
        except (ValueError, RecursionError) as error:
            raise InvalidArguments(f"{self.task}: {_words(error)}") from None


def injected_in(task: str, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> dict[str, Dependency]:
    """The parameters that are injected; raises `ValueError`."""
    found = {each.name: dependency_of(task, each, hints.get(each.name)) for each in parameters if each.kind in _NAMED}
    return {name: dependency for name, dependency in found.items() if dependency is not None}


def _words(error: Exception) -> str:
    """`Expected `int`, got `str` - at `$.a.b`` as `a.b: expected …`."""
    said, _, at = str(error).rpartition(" - at `$.")
    if not said:
        said, at = at, ""
    said = said.replace("Object missing required field", "no argument")
    said = said.replace("Object contains unknown field", "there is no argument")
    where = at.rstrip("`")
    return f"{where}: {said[:1].lower()}{said[1:]}".removeprefix(": ")


def hints_of(task: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Its annotations; raises `ValueError`."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        written = {name: str(each) for name, each in inspect.get_annotations(function).items()}
        of = next((name for name, each in written.items() if error.name and error.name in each), "an annotation")
        raise ValueError(
            f"{task}: {of}: {error}. What an annotation names has to be defined, outside of functions, before the task is"
        ) from None
    except Exception as error:  # whatever is wrong with somebody's annotation  # noqa: BLE001
        raise ValueError(f"{task}: its annotations can't be read: {error}") from None


def _checked(task: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> inspect.Parameter:
    if parameter.kind not in _NAMED:
        raise ValueError(
            f"{task}: {str(parameter).partition(':')[0]}: arguments travel by name, so there are no positional-only parameters, *args or **kwargs"
        )
    if parameter.name not in hints:
        raise ValueError(f"{task}: {parameter.name} has no annotation, by which it is read; Any takes whatever JSON has")
    if _is_job(hints[parameter.name]):
        raise ValueError(f"{task}: {parameter.name}: the job has to be the first parameter")
    Content(hints[parameter.name], f"{task}: {parameter.name}")
    return parameter


def _bind_any(kwargs: dict[str, Any]) -> inspect.BoundArguments:
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in kwargs]).bind(**kwargs)


def _is_job(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, HeldJob)


def _is_model(kind: Any) -> bool:
    """Whether it is a pydantic model, which is told without importing pydantic."""
    return hasattr(kind, "model_validate_json") and hasattr(kind, "model_dump")


def _customs(kind: Any, seen: set[int]) -> list[Any]:
    """The classes that msgspec has no rule for, anywhere in a type."""
    if isinstance(kind, list | tuple):
        return [each for part in kind for each in _customs(part, seen)]
    if not isinstance(kind, msgspec.inspect.Type | msgspec.inspect.Field) or id(kind) in seen:
        return []
    seen.add(id(kind))
    if isinstance(kind, msgspec.inspect.CustomType):
        return [kind.cls]
    return [each for name in kind.__struct_fields__ for each in _customs(getattr(kind, name), seen)]


def _decoded(kind: Any, value: Any) -> Any:
    """What msgspec asks about a type of others: by JSON, so that a model takes from it what it takes from a request."""
    try:
        return kind.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        listed: list[Any] = getattr(error, "errors", list)()
        said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ") for each in listed]
        raise ValueError("; ".join(said) or str(error)) from None


def _plain(value: Any) -> Any:
    if _is_model(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"no rule to write {type(value).__qualname__} as JSON")
