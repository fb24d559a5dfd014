"""A registry of npm packages on this machine, which has the given tarballs and nothing else."""

import base64
import contextlib
import hashlib
import http.server
import json
import pathlib
import tarfile
import threading
import urllib.parse


def packed(folder, output):
    """A folder as a tarball, as `npm pack` makes it but uncompressed: a debug program is large."""
    manifest = json.loads((folder / "package.json").read_text())
    path = output / f"{folder.name}-{manifest['version']}.tgz"
    with tarfile.open(path, "w:gz", compresslevel=0) as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, f"package/{file.name}")
    return path


def described(path, url):
    with tarfile.open(path) as tar:
        manifest = json.load(tar.extractfile("package/package.json"))
    content = path.read_bytes()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    dist = {"tarball": f"{url}/tarballs/{path.name}", "integrity": integrity, "shasum": hashlib.sha1(content).hexdigest()}
    name, version = manifest["name"], manifest["version"]
    return name, {"name": name, "dist-tags": {"latest": version}, "versions": {version: {**manifest, "dist": dist}}}


@contextlib.contextmanager
def serving(tarballs):
    """Its URL, and the list of what it is asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = urllib.parse.unquote(self.path).lstrip("/")
            asked.append(path)
            if path in packages:
                self.answer(200, "application/json", json.dumps(packages[path]).encode())
            elif path.startswith("tarballs/") and (name := path.removeprefix("tarballs/")) in files:
                self.answer(200, "application/octet-stream", files[name].read_bytes())
            else:
                self.answer(404, "application/json", b'{"error": "not found"}')

        def answer(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    files = {path.name: pathlib.Path(path) for path in tarballs}
    packages = dict(described(path, url) for path in files.values())
    # pnpm asks for one version.
    packages |= {f"{name}/latest": package["versions"][package["dist-tags"]["latest"]] for name, package in packages.items()}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield url, asked
    finally:
        server.shutdown()
        server.server_close()
