"""A Kerberos realm on loopback: MIT's own key distribution centre, begun by the test, with a database of its own.

    with Realm(folder) as realm:
        realm.add("smtp/localhost")                          # a principal with a random key, in its own keytab
        environ = realm.environ(client="portal", server="smtp/localhost")
        ...                                                  # KRB5_CONFIG and the rest, for this process or another

What the library keeps between calls (tickets) is in `folder` too. Needs Debian's krb5-kdc and krb5-admin-server.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_PATH = f"/usr/sbin:/usr/local/sbin:{os.environ.get('PATH', '')}"
_PROGRAMS = ("krb5kdc", "kadmin.local", "kdb5_util")
_MASTER_PASSWORD = "of nobody's interest"
_SECONDS_TO_BEGIN = 10.0


def is_available() -> bool:
    """Whether this machine has the programs of a key distribution centre."""
    return all(shutil.which(program, path=_PATH) for program in _PROGRAMS)


class Realm:
    """CONTOSO.TEST, from `with` to its end. Only names with a final dot would be looked up outside: none are."""

    name = "CONTOSO.TEST"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, principal: str) -> None:
        """A principal with a random key, which is in its keytab."""
        self._administer(f"addprinc -randkey {principal}")
        self.export(principal)

    def export(self, principal: str) -> None:
        """A keytab with a new key, which is then the only one."""
        self._keytab(principal).unlink(missing_ok=True)
        self._administer(f"ktadd -k {self._keytab(principal)} {principal}")

    def change_key(self, principal: str) -> None:
        """Another key, which the keytab knows nothing of."""
        self._administer(f"cpw -randkey {principal}")

    def remove(self, principal: str) -> None:
        self._administer(f"delprinc -force {principal}")

    def environ(self, *, client: str = "", server: str = "") -> dict[str, str]:
        """The variables of a host that is `client` and a server that is `server`; no tickets were fetched yet."""
        cache = self.folder / f"tickets-{time.monotonic_ns()}"
        return {
            "KRB5_CONFIG": str(self.folder / "krb5.conf"),
            "KRB5CCNAME": f"FILE:{cache}",
            "KRB5RCACHENAME": "none:",  # replays are the server's business, and its file is shared by the machine
            "KRB5_CLIENT_KTNAME": f"FILE:{self._keytab(client) if client else self.folder / 'no.keytab'}",
            "KRB5_KTNAME": f"FILE:{self._keytab(server) if server else self.folder / 'no.keytab'}",
        }

    def configure(self, *lines: str) -> None:
        """Write the library's settings; `lines` are further ones of its defaults: "clockskew = 1"."""
        (self.folder / "krb5.conf").write_text(_CONFIGURATION.format(port=self.port, more="\n  ".join(lines)))

    def stop(self) -> None:
        """From now on nobody answers."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["krb5kdc", "-n", "-r", self.name, "-P", str(self.folder / "kdc.pid")],
            env=self._own_environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + _SECONDS_TO_BEGIN
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"krb5kdc did not begin: {self._log()}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configure()
        (self.folder / "kdc.conf").write_text(_KDC.format(folder=self.folder, port=self.port))
        self._run("kdb5_util", "create", "-s", "-r", self.name, "-P", _MASTER_PASSWORD)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _keytab(self, principal: str) -> Path:
        return self.folder / f"{principal.replace('/', '-')}.keytab"

    def _administer(self, query: str) -> None:
        self._run("kadmin.local", "-r", self.name, "-q", query)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, env=self._own_environ(), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode or "while" in done.stderr:  # kadmin.local ends with 0 whatever happened
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    def _own_environ(self) -> dict[str, str]:
        files = {"KRB5_CONFIG": str(self.folder / "krb5.conf"), "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}
        return {"PATH": _PATH, "LC_ALL": "C"} | files

    def _log(self) -> str:
        log = self.folder / "kdc.log"
        return log.read_text() if log.exists() else "it wrote nothing"


_CONFIGURATION = """\
[libdefaults]
  default_realm = CONTOSO.TEST
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  {more}
[realms]
  CONTOSO.TEST = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = CONTOSO.TEST
"""

_KDC = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  CONTOSO.TEST = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
    max_life = 10h
  }}
[logging]
  kdc = FILE:{folder}/kdc.log
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
