"""Every setting of the server: one frozen value, made from flags, environment and a TOML file, in that order of precedence.

A setting is one field here: its flag (`--max-payload-bytes`), its variable (`HOLDFAST_MAX_PAYLOAD_BYTES`), its key in the file
and its line in `holdfast config` all follow from it. "Not set" is distinct from the default, so that the source of each value
is known.
"""

import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from holdfast import limits, units
from holdfast.job.queue import QueuePolicy
from holdfast.logs import FORMATS, LEVELS
from holdfast.setting_values import ConfigError, value_of
from holdfast.sockets import addresses_of, is_loopback
from holdfast.tls import Certificate, CertificateFiles, ClientAuth

_OTEL = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?", re.ASCII)
ENV_PREFIX = "HOLDFAST_"
DEFAULT_STORE = "sqlite:///holdfast-data/jobs.db"
FRONTS_MAX = 64
DIALECTS = ("dqid", "cqueue", "couchqueue")

Origin = Literal["default", "file", "environment", "flag"]


def _setting(default: Any, help_text: str, **meta: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **meta})


@dataclass(frozen=True, slots=True)
class Config:
    """The effective settings. Sizes in bytes, times in milliseconds or as the name says."""

    host: str = _setting(
        "127.0.0.1", "Address or name to listen on, one only; beyond loopback it needs an access key, or insecure."
    )
    port: int = _setting(4653, "TCP port to listen on; 0 takes a free one and prints it.", low=0, high=65_535)
    insecure: bool = _setting(
        False, "Serve on addresses other than loopback without access keys: whoever reaches the port may do everything."
    )
    tls_cert: str = _setting("", "PEM file with the TLS certificate and its chain; reloaded when it changes, and on SIGHUP.")
    tls_key: str = _setting("", "PEM file with the key of the TLS certificate, not encrypted.")
    tls_client_ca: str = _setting(
        "", "PEM file with the authorities (CAs) of client certificates; with it, clients must have a certificate of theirs."
    )
    tls_client_auth: str = _setting(
        "auto",
        "Over HTTP: whether a client certificate is required, or only verified where there is one (both need tls_client_ca); auto: required if tls_client_ca is set.",
        choices=("auto", "required", "optional"),
    )
    store: str = _setting(
        DEFAULT_STORE,
        "Store of the jobs: sqlite:///PATH (four slashes begin an absolute path; the folder is created, and must not be on a network file system), postgresql://USER@HOST:PORT,…/DATABASE, or memory.",
    )
    replicas: int = _setting(
        0, "With PostgreSQL: how many standbys must have flushed a change before it is acknowledged.", low=0, high=8
    )
    standbys: tuple[str, ...] = _setting(
        (), "With PostgreSQL: the standbys that count, by application_name; without any, those of synchronous_standby_names."
    )
    require_sound: bool = _setting(
        True, "With replicas: refuse to serve a PostgreSQL whose settings break the durability promise; off, only warn."
    )
    commit_timeout_ms: int = _setting(
        10_000,
        "With PostgreSQL: how long to wait for the proof of a commit before answering that its outcome is unknown.",
        low=100,
        high=300_000,
    )
    size: int = _setting(
        limits.CAPACITY_JOBS_DEFAULT, "Default capacity of a queue, in jobs.", low=0, high=limits.CAPACITY_JOBS_MAX
    )
    capacity_bytes: int = _setting(
        limits.CAPACITY_BYTES_DEFAULT,
        "Default capacity of a queue, in bytes of payload.",
        low=0,
        high=limits.CAPACITY_BYTES_MAX,
    )
    lease_ms: int = _setting(
        limits.LEASE_MS_DEFAULT,
        "Default lease (visibility timeout): how long a job stays leased unless its worker extends it.",
        low=1,
        high=limits.LEASE_MS_MAX,
    )
    max_attempts: int = _setting(
        limits.ATTEMPTS_DEFAULT,
        "Default max attempts: failures plus crashes after which a job is dead, unless job or queue says otherwise.",
        low=1,
        high=limits.ATTEMPTS_MAX,
    )
    max_crashes: int = _setting(
        limits.CRASHES_DEFAULT, "Default max crashes (expired leases) before a job is dead.", low=1, high=limits.ATTEMPTS_MAX
    )
    retention_ms: int = _setting(
        limits.RETENTION_MS_DEFAULT,
        "How long concluded and cancelled jobs are kept, unless the queue says otherwise.",
        low=0,
        high=limits.RETENTION_MS_MAX,
    )
    retention_jobs: int = _setting(
        limits.RETENTION_JOBS_DEFAULT,
        "How many concluded and cancelled jobs of a queue are kept; the oldest are removed.",
        low=0,
        high=limits.CAPACITY_JOBS_MAX,
    )
    retention_bytes: int = _setting(
        limits.RETENTION_BYTES_DEFAULT,
        "How many bytes of payloads and results of concluded and cancelled jobs of a queue are kept.",
        low=0,
        high=limits.CAPACITY_BYTES_MAX,
    )
    worker_silence_ms: int = _setting(
        limits.WORKER_SILENCE_MS_DEFAULT,
        "How long without a heartbeat until a registered worker without jobs is removed.",
        low=1,
        high=limits.WORKER_SILENCE_MS_MAX,
    )
    audit_retention: str = _setting("90d", "How long entries of the audit log are kept, from 1m to 3660d.")
    backup_to: str = _setting(
        "", "With a store in a file: an existing folder, best on another disk, to which the server makes backups; empty is off."
    )
    backup_every: str = _setting("1h", "With backup_to: how often a backup is made, from 1m to 366d.")
    backup_keep: int = _setting(
        24, "With backup_to: how many backups are kept; the oldest are removed.", low=1, high=limits.BACKUPS_KEPT_MAX
    )
    max_payload_bytes: int = _setting(limits.PAYLOAD_BYTES, "Largest payload or result.", low=1, high=limits.PAYLOAD_BYTES_MAX)
    memory_budget: int = _setting(
        limits.MEMORY_BUDGET_BYTES,
        "Max bytes that a front process buffers (backpressure): unfinished bodies, waiting enqueues, unread answers. At least twice the largest body.",
        low=limits.MEMORY_BUDGET_BYTES_MIN,
        high=limits.MEMORY_BUDGET_BYTES_MAX,
    )
    max_connections: int = _setting(
        limits.CONNECTIONS,
        "Most connections of one front process, over HTTP and beanstalkd; never more than the machine's bound on open files less 1,024, or half of it.",
        low=1,
        high=limits.CONNECTIONS_MAX,
    )
    max_connections_per_address: int = _setting(
        0,
        "Most of them of one address (of one /64 of IPv6); 0 is half of all, and of loopback all. Behind a proxy all have the proxy's address.",
        low=0,
        high=limits.CONNECTIONS_MAX,
    )
    body_timeout_s: int = _setting(
        limits.BODY_S, "How long the body of a request may take to arrive, in seconds.", low=1, high=limits.BODY_S_MAX
    )
    fronts: int = _setting(
        1,
        "Front processes that share one port and one keeper: more than one pays on more than two cores. 0: all in one process, which takes less memory and answers a lone caller sooner. With PostgreSQL, start more nodes instead.",
        low=0,
        high=FRONTS_MAX,
    )
    root_path: str = _setting("", "Path prefix under which a proxy shows the server, such as /jobs.")
    dialects: tuple[str, ...] = _setting(
        DIALECTS, "Additional HTTP dialects besides /v1, comma-separated; none turns them off."
    )
    web: bool = _setting(True, "Serve the management page at /web; / redirects to it, else to /docs.")
    environment: str = _setting(
        "",
        "Name of the environment, such as production, at most 40 characters, shown in a colour on every screen of the page.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        "Host names to answer to, comma-separated; * is any. Loopback names are always allowed. On a non-loopback address any name is allowed unless some are given.",
    )
    allowed_origins: tuple[str, ...] = _setting(
        (), "Origins of web pages that may send changes, comma-separated, besides the server's own."
    )
    disk_watermark_bytes: int = _setting(
        limits.DISK_WATERMARK_BYTES,
        "Refuse new jobs when less than this is free on the disk; 0 refuses only on a full disk, and keeps no reserve.",
        low=0,
        high=1 << 50,
    )
    beanstalk: str = _setting("", "Address and port for the beanstalkd protocol, such as 127.0.0.1:11300; empty is off.")
    beanstalk_tls: bool = _setting(True, "With tls_cert: speak TLS for the beanstalkd protocol, too.")
    beanstalk_allow: tuple[str, ...] = _setting(
        (),
        "Addresses whose beanstalkd clients need not authenticate, each with the name of the access key that they act as, comma-separated, such as 10.0.0.0/8=workers.",
    )
    admin_key_file: str = _setting(
        "", "A file with a secret, such as `holdfast key secret` prints: at the start it becomes that of the access key admin."
    )
    linger_s: int = _setting(
        0,
        "How long to stay reachable after SIGTERM, in seconds; new jobs are refused and /readyz answers 503: set it to your balancer's check interval.",
        low=0,
        high=3_600,
    )
    drain_s: int = _setting(30, "How long to wait for open requests after SIGTERM, in seconds.", low=0, high=3_600)
    traces: str = _setting(
        "off",
        "Share of the traces that begin here and are exported by OTLP, from 0 to 1; off records none. Needs holdfast-queue[otel].",
    )
    log_level: str = _setting("info", "How much to log.", choices=LEVELS)
    log_format: str = _setting("auto", "Format of log lines; auto is console on a terminal, else json.", choices=FORMATS)

    def certificate(self) -> Certificate | None:
        """The content of the TLS files; None without TLS. Raises `UnusableCertificate`."""
        return Certificate(CertificateFiles(self.tls_cert, self.tls_key, self.tls_client_ca)) if self.tls_cert else None

    def beanstalk_auth(self) -> ClientAuth | None:
        """What is required of beanstalkd clients: a certificate if there is an authority, since the protocol has no other
        authentication. None without TLS there.
        """
        if not (self.tls_cert and self.beanstalk_tls):
            return None
        return "required" if self.tls_client_ca else "none"

    def what_is_missing(self) -> str | None:
        """A setting that has no effect without another one, as a sentence."""
        if self.replicas and not self.database():
            return "replicas needs a store on PostgreSQL; a file has no standbys."
        if self.backup_to and self.database():
            return (
                "backup_to is for a store in a file. A database is backed up by PostgreSQL's own means: base backups and the archived log "
                "(docs/postgresql.md#backup-and-restore)."
            )
        if self.backup_to and self.store_path() is None:
            return "backup_to needs a store in a file; jobs in memory have no backup."
        if self.trace_ratio() is not None and not _has_extra_otel():
            return "traces needs the extra otel: pip install 'holdfast-queue[otel]' beside the server."
        if bool(self.tls_cert) != bool(self.tls_key):
            given, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            return f"{given} needs {missing} beside it: the certificate and its key."
        if self.tls_client_ca and not self.tls_cert:
            return "tls_client_ca needs tls_cert and tls_key: client certificates are a part of TLS."
        return None

    def client_auth(self) -> ClientAuth:
        """What is required of clients over HTTP."""
        return ("optional" if self.tls_client_auth == "optional" else "required") if self.tls_client_ca else "none"

    def unsafe(self, has_keys: bool) -> str | None:
        """Why it must not start: an address beyond loopback, without access keys and without `insecure`. None if it may."""
        if has_keys or self.insecure:
            return None
        places = [("host", self.host)] + ([("beanstalk", address[0])] if (address := self.beanstalk_address()) else [])
        exposed = [f"{name} {host}" for name, host in places if not all(map(is_loopback, addresses_of(host)))]
        if not exposed:
            return None
        return (
            f"{' and '.join(exposed)} would be in reach of other machines, and there is no access key: whoever reaches it could do everything. "
            "Create a key (`holdfast key create`), name a file with the secret of the first one (HOLDFAST_ADMIN_KEY_FILE), or say that this is meant (`--insecure`)."
        )

    def policy(self) -> QueuePolicy:
        """The settings of a queue that sets none."""
        return QueuePolicy(
            capacity_jobs=self.size,
            capacity_bytes=self.capacity_bytes,
            lease_ms=self.lease_ms,
            max_attempts=self.max_attempts,
            max_crashes=self.max_crashes,
            retention_ms=self.retention_ms,
            retention_jobs=self.retention_jobs,
            retention_bytes=self.retention_bytes,
        )

    def trace_ratio(self) -> float | None:
        """The share of traces that are recorded, of those that begin here; None if none are. Raises `ValueError`."""
        if self.traces == "off":
            return None
        ratio = float(self.traces)
        if not 0 <= ratio <= 1:
            raise ValueError(self.traces)
        return ratio

    def audit_retention_ms(self) -> int:
        """How long entries of the audit log are kept; raises `ValueError` if that is not a duration within its bounds."""
        ms = units.duration_ms(self.audit_retention)
        if not limits.AUDIT_RETENTION_MS_MIN <= ms <= limits.AUDIT_RETENTION_MS_MAX:
            raise ValueError(self.audit_retention)
        return ms

    def backup_every_ms(self) -> int:
        """How often a backup is made; raises `ValueError` if that is not a duration within its bounds."""
        ms = units.duration_ms(self.backup_every)
        if not limits.BACKUP_EVERY_MS_MIN <= ms <= limits.BACKUP_EVERY_MS_MAX:
            raise ValueError(self.backup_every)
        return ms

    def database(self) -> bool:
        """Whether jobs are stored in PostgreSQL."""
        return self.store.startswith(("postgresql://", "postgres://"))

    def kept(self, level: str, replicas: int) -> str:
        """Where jobs are stored and what an answer means, in words."""
        if level == "replicated":
            return f"in PostgreSQL: an answer means that it and {replicas} of its standbys have flushed them"
        if level == "disk":
            where = "in PostgreSQL" if self.database() else f"on disk in {self.store_path()}"
            return f"{where}: an answer means that it is fsynced"
        path = self.store_path()
        if path is None:
            return "in memory only: they are gone when the server ends"
        return f"in {path}, which is on a memory file system"

    def store_path(self) -> Path | None:
        """The SQLite file with links resolved: lock, reserve and WAL are beside the file, not beside a link to it. None for
        jobs in memory or in PostgreSQL.
        """
        if self.store == "memory" or self.database():
            return None
        return Path(os.path.realpath(self.store.removeprefix("sqlite:///")))

    def beanstalk_address(self) -> tuple[str, int] | None:
        """Host and port of the beanstalkd protocol; None while it is off."""
        if not self.beanstalk:
            return None
        host, colon, port = self.beanstalk.rpartition(":")
        if not host or not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ValueError(self.beanstalk)
        return _bare(host), int(port)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config, and the source of each value."""

    config: Config
    origins: dict[str, Origin]


def load(flags: dict[str, Any], file: Path | None) -> Loaded:
    """Merge the sources. `flags` has only what was given; `file` must exist if it is given."""
    from_file = _read(file) if file is not None else {}
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for setting in fields(Config):
        name, origin = setting.name, "default"
        variable = ENV_PREFIX + name.upper()
        if name in flags:
            given, origin = flags[name], "flag"
        elif variable in os.environ:
            given, origin = os.environ[variable], "environment"
        elif name in from_file:
            given, origin = from_file[name], "file"
        else:
            given = setting.default
        values[name] = value_of(setting, given, _told(name, origin, file))
        origins[name] = origin  # type: ignore[assignment]
    values["host"] = _host(values["host"], _told("host", origins["host"], file))
    config = Config(**values)
    _check(config, {name: _told(name, origin, file) for name, origin in origins.items()})
    return Loaded(config, origins)


def _has_extra_otel() -> bool:
    """Whether the SDK and the exporter are there: a client's environment may have the API alone."""
    try:
        return all(find_spec(name) is not None for name in _OTEL)
    except ModuleNotFoundError:  # the package that it would be in
        return False


def _bare(host: str) -> str:
    """An address or a name to listen on, without the brackets that an IPv6 address has in a URL; raises `ValueError` if it is
    neither.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") and ":" in host else host
    if ":" in bare:
        IPv6Address(bare)
    elif not _NAME.fullmatch(bare):
        raise ValueError(host)
    return bare


def _host(given: str, told: str) -> str:
    try:
        return _bare(given)
    except ValueError:
        raise ConfigError(
            f"{told} must be an address such as 127.0.0.1 or ::1, or a host name, without a port; not {given[:80]!r}."
        ) from None


def _told(name: str, origin: str, file: Path | None) -> str:
    names = {"flag": f"--{name.replace('_', '-')}", "environment": ENV_PREFIX + name.upper(), "file": f"{name} in {file}"}
    return names.get(origin, name)


def _read(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"The config file {file} can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file {file} is not TOML: {error}.") from None
    known = {setting.name for setting in fields(Config)}
    for name in values:
        if name not in known:
            raise ConfigError(f"{file} sets {name}, which is not a setting. There are: {', '.join(sorted(known))}.")
    return values


def store_outside(store: str, replicas: int = 0) -> Config:
    """A store that a command opens by itself, without its server; raises `ConfigError` where `store` names none."""
    config = Config(store=store, replicas=replicas)
    if store == "memory":
        raise ConfigError("A store in memory can't be opened from outside its server.")
    if not _is_place(config):
        raise ConfigError("The store must be sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE.")
    return config


def _check(config: Config, told: dict[str, str]) -> None:
    if not _is_place(config):
        raise ConfigError(
            f"{told['store']} must be sqlite:///PATH or memory, or postgresql://USER@HOST:PORT/DATABASE, not {config.store!r}."
        )
    if config.database() and config.fronts != 1:
        raise ConfigError(f"{told['fronts']} must be 1 with PostgreSQL: start more nodes, each with an address of its own.")
    if not config.tls_client_ca and config.tls_client_auth != "auto":
        raise ConfigError(f"{told['tls_client_auth']} needs tls_client_ca: without it no client is asked for a certificate.")
    _check_written(config, told)
    _check_allowed(config, told)
    if config.root_path and not (
        config.root_path.startswith("/") and config.root_path.isascii() and config.root_path.isprintable()
    ):
        raise ConfigError(f"{told['root_path']} must start with / and hold printable ASCII, not {config.root_path!r}.")
    if len(config.environment) > limits.ENVIRONMENT_CHARS or not config.environment.isprintable():
        most = limits.ENVIRONMENT_CHARS
        raise ConfigError(
            f"{told['environment']} must be at most {most} printable characters, not {config.environment[:80]!r}."
        )
    for dialect in config.dialects:
        if dialect not in (*DIALECTS, "none"):
            raise ConfigError(f"{told['dialects']} must be of {', '.join(DIALECTS)}, or none; not {dialect!r}.")
    for origin in config.allowed_origins:
        if "://" not in origin or origin.endswith("/"):
            raise ConfigError(f"{told['allowed_origins']} must be origins such as https://jobs.example, not {origin!r}.")


def _check_written(config: Config, told: dict[str, str]) -> None:
    """A value that is a text and stands for another type."""
    for name, read, wanted in (
        ("traces", config.trace_ratio, "off, or a share from 0 to 1 such as 0.01"),
        ("beanstalk", config.beanstalk_address, "HOST:PORT, such as 127.0.0.1:11300"),
        ("backup_every", config.backup_every_ms, "from 1m to 366d, such as 15m, 1h or 1d"),
        ("audit_retention", config.audit_retention_ms, "from 1m to 3660d, such as 12h or 90d"),
    ):
        try:
            read()
        except ValueError:
            raise ConfigError(f"{told[name]} must be {wanted}, not {str(getattr(config, name))[:80]!r}.") from None


def _check_allowed(config: Config, told: dict[str, str]) -> None:
    for entry in config.beanstalk_allow:
        network, _, name = entry.partition("=")
        try:
            ip_network(network)
        except ValueError:
            name = ""
        if limits.KEY_NAME.match(name) is None:
            raise ConfigError(
                f"{told['beanstalk_allow']} must be ADDRESSES=KEY-NAME, such as 10.0.0.0/8=workers, not {entry[:80]!r}."
            )


def _is_place(config: Config) -> bool:
    store = config.store
    if config.database():
        return bool(urlsplit(store.split("?")[0].replace(",", "-")).path.strip("/"))  # it may name several hosts
    return store == "memory" or (store.startswith("sqlite:///") and len(store) > len("sqlite:///"))
