"""Runs what a container's image holds as an engine would: as its user, with nothing else in sight and nowhere to write but a folder that is
mounted and /tmp. Started by packaging/check in a mount namespace of its own, so that nothing of it is left.

    check_container.py PROGRAM ROOT SCRATCH USER ENTRYPOINT LIBC     ROOT: what `packaging/build rootfs` made"""

import errno
import json
import os
import pathlib
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import trustme  # noqa: E402

from parts.processes import PATIENCE, Running, check, environment  # noqa: E402

KEY = "otter-1|a1b2c3d4e5f6"
UNKNOWN = "issued by an authority that this machine does not know"
RUNS = 40


class Container:
    def __init__(self, root, scratch, user, entrypoint):
        self.root, self.user, self.entrypoint = root, user, entrypoint
        self.archive, self.mounted = scratch / "archive", scratch / "certificates"
        for folder in (self.archive, self.mounted):
            folder.mkdir()
        os.chown(self.archive, user, user)
        # An engine makes these, as it mounts something there.
        for name in ("archive", "certificates", "proc"):
            (root / name).mkdir()
        self.mount("--bind", root, root)
        self.mount("--bind", self.archive, root / "archive")
        self.mount("--bind", self.mounted, root / "certificates")
        self.mount("-t", "tmpfs", "-o", "mode=1777,size=64m", "tmpfs", root / "tmp")
        self.mount("-o", "remount,bind,ro", root)

    @staticmethod
    def mount(*arguments):
        subprocess.run(["mount", *map(str, arguments)], check=True)

    def enter(self):
        os.chroot(self.root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(self.user)
        os.setuid(self.user)

    def mount_proc(self):
        """Every engine does."""
        self.mount("-t", "proc", "proc", self.root / "proc")

    def start(self, *arguments, until):
        command = [self.entrypoint, *arguments]
        return Running(command, None, {}, until, preexec_fn=self.enter)

    def run(self, *arguments, **env):
        done = subprocess.run(
            [self.entrypoint, *map(str, arguments)], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=self.enter, timeout=PATIENCE
        )
        return done.returncode, done.stdout, done.stderr

    def milliseconds(self, *arguments, **env):
        """Median and maximum of many starts."""
        took = []
        for _ in range(RUNS):
            begin = time.perf_counter()
            code, _, error = self.run(*arguments, **env)
            took.append((time.perf_counter() - begin) * 1000)
            check(code == 0, error)
        return statistics.median(took), max(took)


class Tls:
    """A server of TLS before another one, with a certificate of an authority that nobody knows."""

    def __init__(self, to):
        self.to, self.handshakes = to, []
        authority = trustme.CA()
        self.authority = authority.cert_pem.bytes()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            client = self.context.wrap_socket(client, server_side=True)
        except OSError as error:
            self.handshakes.append(str(error))
            return
        self.handshakes.append(client.version())
        server = socket.create_connection(self.to)
        threading.Thread(target=self.copy, args=(server, client), daemon=True).start()
        self.copy(client, server)

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The other side has left.


def main(program, root, scratch, user, entrypoint, libc):
    container = Container(root, scratch, user, entrypoint)
    tell = print
    code, out, error = container.run("--version")
    check(code == 0, out, error)
    tell(f"{out.strip()} runs as {user}, with no /proc, /dev or /etc/ssl")

    simulate = [program, "simulate", "--listen", "127.0.0.1:0", "--key", KEY]
    with Running(simulate, scratch, environment(), "Ctrl-C") as simulation:
        plain = simulation.value("URL:")
        tls = Tls(("127.0.0.1", int(plain.rpartition(":")[2])))
        (container.mounted / "authority.pem").write_bytes(tls.authority)
        own = {"SSL_CERT_FILE": "/certificates/authority.pem"}

        def sync(url, name, **env):
            return container.run("sync", "--json", "--deployment", url, "--archive", f"/archive/{name}", CONVEX_DEPLOY_KEY=KEY, **env)

        code, out, error = container.run("sync", "--deployment", plain, "--archive", "/elsewhere", CONVEX_DEPLOY_KEY=KEY)
        check(code not in (0, None) and "/elsewhere" in error, code, out, error)
        try:
            (root / "elsewhere").mkdir()
            check(False, "root itself can write there")
        except OSError as error:
            check(error.errno == errno.EROFS, error)
        tell("its root is read-only")

        for url, name, env in ((plain, "http", {}), (tls.url, "https", own)):
            code, out, error = sync(url, name, **env)
            check(code == 0 and json.loads(out)["documents"] >= 1000, code, out, error)
            owners = {path.stat().st_uid for path in (container.archive / name).rglob("*")}
            check(owners == {user}, owners)
            status = container.run("status", "--json", "--archive", f"/archive/{name}")
            check(status[0] == 0 and json.loads(status[1])["total"]["rows"] >= 1000, *status)
            tell(f"a sync over {name} writes {json.loads(out)['documents']} documents")
        check(tls.handshakes and "TLSv1.3" in tls.handshakes, tls.handshakes)

        # It knows authorities, and this is none of them.
        code, out, error = sync(tls.url, "unknown")
        check(code not in (0, None) and UNKNOWN in error, code, out, error)
        check(any("unknown ca" in text.lower() or "alert" in text.lower() for text in tls.handshakes), tls.handshakes)
        store = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-north-1", "AWS_ENDPOINT": tls.url}
        code, out, error = container.run("status", "--archive", "s3://lake/a", **store)
        check(code not in (0, None) and UNKNOWN in error, code, out, error)
        tell("without that authority's certificate deployment and store are of an authority that it does not know: it knows others")
        # Who names a list gets that one, and no other in its place.
        code, out, error = sync(tls.url, "none", SSL_CERT_FILE="/certificates/none.pem")
        check(code == 2 and "SSL_CERT_FILE" in error and UNKNOWN not in error, code, out, error)
        tell("SSL_CERT_FILE that leads nowhere is an error, and does not bring back the others")

    container.mount_proc()
    if libc == "glibc":
        with container.start("simulate", "--listen", "127.0.0.1:0", until="Ctrl-C") as running:
            environ = pathlib.Path(f"/proc/{running.process.pid}/environ").read_bytes().split(b"\0")
        check(b"MALLOC_ARENA_MAX=1" in environ, environ)
        tell("with /proc it has begun again with one arena")
    for arguments in (["--version"], ["status", "--archive", "/archive/http"]):
        median, most = container.milliseconds(*arguments)
        tell(f"from its start to its end, {' '.join(arguments[:1])}: median {median:.1f} ms, at most {most:.1f} ms, of {RUNS}")


main(*(pathlib.Path(text) for text in sys.argv[1:4]), int(sys.argv[4]), *sys.argv[5:])
