"""Settings: flag before environment before file before default, each with its origin, and every bad value told with where it stands."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import ENV_PREFIX, Config, load
from holdfast.setting_values import ConfigError

TEXTS = {
    "audit_retention": ("12h", "1m", "3660d"),
    "traces": ("0", "0.01", "1"),
    "backup_to": ("one", "two", "three"),
    "backup_every": ("15m", "1m", "366d"),
    "beanstalk": ("127.0.0.1:11300", "[::1]:11301", "localhost:0"),
    "beanstalk_allow": ("127.0.0.0/8=one", "::1/128=two", "10.0.0.0/8=one,192.0.2.1/32=two"),
    "admin_key_file": ("one", "two", "three"),
    "host": ("127.0.0.2", "127.0.0.3", "127.0.0.4"),
    "store": ("memory", "sqlite:///one.db", "sqlite:///two.db"),
    "root_path": ("/one", "/two", "/three"),
    "environment": ("staging", "production", "local"),
    "allowed_hosts": ("one.example", "two.example", "three.example,four.example"),
    "allowed_origins": ("https://one.example", "https://two.example", "https://three.example,http://four.example"),
    "dialects": ("none", "dqid", "cqueue,dqid"),
    "tls_cert": ("one.pem", "two.pem", "three.pem"),
    "tls_key": ("one.key", "two.key", "three.key"),
    "tls_client_ca": ("one.pem", "two.pem", "three.pem"),
    "standbys": ("n2", "n3", "n2,n3"),
}
"""Three good values of each setting that is a text or a list, none of which is its default."""
NEEDS = {"tls_client_auth": ("tls_client_ca", "one.pem")}
"""Settings that are refused without another one."""

SETTINGS = {setting.name: setting for setting in fields(Config)}
EVERY = pytest.mark.parametrize("name", list(SETTINGS))
SOURCES = pytest.mark.parametrize("source", ["flag", "environment", "file"])


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have some."""
    for variable in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(variable)


class Sources:
    """What a test sets where."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._flags: dict[str, Any] = {}
        self._file = folder / "holdfast.toml"
        self._lines: dict[str, str] = {}

    def set(self, source: str, name: str, value: Any) -> str:
        """Set it there; how a message has to name that place."""
        if source == "flag":
            self._flags[name] = value
            return f"--{name.replace('_', '-')} "
        if source == "environment":
            self._monkeypatch.setenv(ENV_PREFIX + name.upper(), str(value))
            return f"{ENV_PREFIX}{name.upper()} "
        shown = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
        self._lines[name] = f"{name} = {shown}"
        self._file.write_text("\n".join(self._lines.values()))
        return f"{name} in {self._file} "

    def load(self) -> Any:
        """Put them together."""
        return load(self._flags, self._file if self._lines else None)

    def refusal(self) -> str:
        """Why they can't be."""
        with pytest.raises(ConfigError) as refused:
            self.load()
        return str(refused.value)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sources:
    return Sources(monkeypatch, tmp_path)


def good_values(name: str) -> tuple[Any, Any, Any]:
    """Three values that differ from one another, or the two that there are."""
    setting = SETTINGS[name]
    if "choices" in setting.metadata:
        *_, first, second = setting.metadata["choices"]
        return second, first, second
    if setting.type is bool:
        return (not setting.default, setting.default, not setting.default)
    if setting.type is int:
        low = setting.metadata["low"]
        return low + 1, low + 2, low + 3
    return TEXTS[name]


def in_force(name: str, given: Any) -> Any:
    """What a good value becomes."""
    return tuple(given.split(",")) if isinstance(SETTINGS[name].default, tuple) else given


# Precedence


@EVERY
def test_the_flag_comes_before_the_variable_before_the_file_before_the_default(name, sources):
    loaded = sources.load()
    assert (getattr(loaded.config, name), loaded.origins[name]) == (SETTINGS[name].default, "default")
    if name in NEEDS:
        sources.set("file", *NEEDS[name])
    for source, value in zip(("file", "environment", "flag"), good_values(name), strict=True):
        sources.set(source, name, value)
        loaded = sources.load()
        assert (getattr(loaded.config, name), loaded.origins[name]) == (in_force(name, value), source)


@EVERY
@SOURCES
def test_a_value_that_is_the_default_is_still_told_apart_from_none(name, source, sources):
    default = SETTINGS[name].default
    sources.set(source, name, ",".join(default) if isinstance(default, tuple) else default)
    loaded = sources.load()
    assert getattr(loaded.config, name) == default
    assert loaded.origins == {other: source if other == name else "default" for other in SETTINGS}


def test_a_list_may_be_written_as_one_in_the_file(tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text('allowed_hosts = ["one.example", "two.example"]\nweb = false\nport = 1')
    config = load({}, file).config
    assert (config.allowed_hosts, config.web, config.port) == (("one.example", "two.example"), False, 1)


@pytest.mark.parametrize("text", ["false", "no", "off", "0", "False", "OFF"])
def test_off_can_be_said_in_the_environment_in_the_usual_ways(text, sources):
    sources.set("environment", "web", text)
    assert sources.load().config.web is False


def test_an_empty_list_is_a_value_too(sources):
    sources.set("file", "allowed_hosts", "one.example")
    sources.set("environment", "allowed_hosts", "")
    loaded = sources.load()
    assert (loaded.config.allowed_hosts, loaded.origins["allowed_hosts"]) == ((), "environment")


# Bad values


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.type is int])
@SOURCES
def test_a_number_out_of_its_bounds_is_told_with_its_place_and_both_bounds(name, source, sources):
    low, high = SETTINGS[name].metadata["low"], SETTINGS[name].metadata["high"]
    for value in (low - 1, high + 1):
        place = sources.set(source, name, value)
        assert sources.refusal() == f"{place}must be from {low} to {high}, not {value}."
    for value in (low, high):
        sources.set(source, name, value)
        assert getattr(sources.load().config, name) == value, "the bounds themselves are good"


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.type is int])
@pytest.mark.parametrize("value", ["", "many", "1.5", "0x10"])
def test_what_is_no_number_is_told_with_its_place(name, value, sources):
    place = sources.set("environment", name, value)
    assert sources.refusal() == f"{place}must be a whole number, not {value!r}."


@pytest.mark.parametrize(
    ("name", "line"),
    [("port", "port = 1.5"), ("port", "port = true"), ("size", 'size = ["1"]'), ("web", "web = 2")],
)
def test_a_value_of_another_kind_in_the_file_is_told_with_its_place(name, line, tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text(line)
    with pytest.raises(ConfigError, match=f"^{name} in {file} must be "):
        load({}, file)


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("store", "postgres://there", "sqlite:///PATH or memory"),
        ("store", "sqlite:///", "sqlite:///PATH or memory"),
        ("store", "jobs.db", "sqlite:///PATH or memory"),
        ("root_path", "jobs", "start with /"),
        ("environment", "e" * 41, "at most 40 printable"),
        ("environment", "a\tb", "at most 40 printable"),
        ("root_path", "/jöbs", "printable ASCII"),
        ("allowed_origins", "jobs.example", "https://jobs.example"),
        ("allowed_origins", "https://jobs.example/", "https://jobs.example"),
        ("dialects", "klingon", "none"),
        ("log_level", "loud", "debug, info, warning, error, critical"),
        ("log_format", "xml", "auto, console, json"),
    ],
)
@SOURCES
def test_a_text_that_makes_no_sense_is_told_with_its_place_and_what_would(name, value, bound, source, sources):
    place = sources.set(source, name, value)
    said = sources.refusal()
    assert said.startswith(f"{place}must ")
    assert bound in said
    assert repr(value) in said


# The file


def test_an_unknown_key_is_told_with_the_file_and_the_keys_there_are(tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_text("prot = 80")
    with pytest.raises(ConfigError) as refused:
        load({}, file)
    assert str(refused.value).startswith(f"{file} sets prot, which is not a setting. There are: ")
    assert all(name in str(refused.value) for name in SETTINGS)


@pytest.mark.parametrize("text", ["port 80", "port = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_told_by_its_name(text, tmp_path):
    file = tmp_path / "holdfast.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=f"^The config file {file} is not TOML: "):
        load({}, file)


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path):
    for missing in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match=f"^The config file {missing} can't be read: "):
            load({}, missing)


@pytest.mark.parametrize("given", ["on", "", "-0.1", "1.1", "nan", "1%"])
def test_a_share_of_traces_is_off_or_a_number_from_0_to_1(given):
    with pytest.raises(ConfigError, match=r"^--traces must be off, or a share from 0 to 1 such as 0\.01, not "):
        load({"traces": given}, None)


def test_traces_without_their_extra_are_refused_with_what_to_install(monkeypatch):
    assert Config(traces="0.5").what_is_missing() is None
    monkeypatch.setattr("holdfast.config.find_spec", lambda _: None)
    assert "holdfast-queue[otel]" in Config(traces="0.5").what_is_missing()
    assert Config().what_is_missing() is None


# What the settings become


def test_the_capacity_and_lease_settings_are_the_policy_of_every_queue_that_sets_none():
    config = Config(
        size=3,
        capacity_bytes=4,
        lease_ms=5,
        max_attempts=6,
        max_crashes=7,
        retention_ms=8,
        retention_jobs=9,
        retention_bytes=10,
    )
    policy = config.policy()
    given = (
        policy.capacity_jobs,
        policy.capacity_bytes,
        policy.lease_ms,
        policy.max_attempts,
        policy.max_crashes,
        policy.retention_ms,
        policy.retention_jobs,
        policy.retention_bytes,
    )
    assert given == (3, 4, 5, 6, 7, 8, 9, 10)


@pytest.mark.parametrize(
    ("store", "path"), [("memory", None), ("sqlite:///a/b.db", "HERE/a/b.db"), ("sqlite:////a/b.db", "/a/b.db")]
)
def test_a_store_s_path_is_relative_to_where_it_was_started_or_absolute(store, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = None if path is None else Path(path.replace("HERE", str(tmp_path)))
    assert Config(store=store).store_path() == wanted


def test_a_store_behind_a_link_is_where_the_link_leads_so_that_lock_and_reserve_stand_beside_the_file(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "jobs.db").symlink_to(tmp_path / "disk" / "kept.db")
    assert Config(store=f"sqlite:///{tmp_path}/jobs.db").store_path() == tmp_path / "disk" / "kept.db"


@pytest.mark.parametrize(
    ("given", "host"),
    [("[::1]", "::1"), ("::1", "::1"), ("[::]", "::"), ("::", "::"), ("[fe80::1%eth0]", "fe80::1%eth0"), ("fe80::1%eth0", "fe80::1%eth0"),
     ("localhost", "localhost"), ("localhost.", "localhost."), ("my_host-1.example", "my_host-1.example"), ("127.1", "127.1")],
)  # fmt: skip
def test_a_host_is_taken_as_people_write_it(given, host):
    assert load({"host": given}, None).config.host == host
    assert load({"beanstalk": f"[{host}]:1" if ":" in host else f"{host}:1"}, None).config.beanstalk_address() == (host, 1)


@pytest.mark.parametrize(
    "given",
    ["", " ", "a b", " localhost", "[::1", "::1]", "[127.0.0.1]", "127.0.0.1:80", "[::1]:80", "http://localhost", "host\n", "a" * 64, "a." * 200,
     "a..b", "::1%", ":::", "*", "é.example", "[]", "-a", "a/b", "a\0b"],
)  # fmt: skip
def test_what_is_no_host_is_refused_by_its_setting(given):
    with pytest.raises(ConfigError, match="--host must be"):
        load({"host": given}, None)
