"""Images of Debian's packages under the names that `deploy/compose/compose.yaml` asks a registry for, and Patroni's image on one of them."""

import yaml

from tests.system.containers.podman import ROOT, build_from, made

COMPOSE = ROOT / "deploy/compose"
_INSTALL = "RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends"
_ETCD = f"{_INSTALL} etcd-server etcd-client"
_HAPROXY = f'{_INSTALL} haproxy\nCMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'
_POSTGRESQL = f"""RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres
{_INSTALL} postgresql-17 && rm -rf /var/lib/postgresql/17 && ln -s 17 /usr/lib/postgresql/18
ENV PATH=/usr/lib/postgresql/18/bin:$PATH"""


def build(patroni: list[str]) -> None:
    """All of them; Patroni's under these names."""
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    (postgresql,) = [
        line.split()[1] for line in (COMPOSE / "patroni/Dockerfile").read_text().splitlines() if line.startswith("FROM ")
    ]
    for name, steps in (
        (services["etcd1"]["image"], _ETCD),
        (f"docker.io/library/{services['haproxy']['image']}", _HAPROXY),
        (f"docker.io/library/{postgresql}", _POSTGRESQL),
    ):
        made(name, steps)
    build_from(COMPOSE / "patroni/Dockerfile", COMPOSE / "patroni", *patroni)
