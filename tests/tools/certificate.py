"""certificate.py DIRECTORY: makes an authority (authority.pem) and a certificate of it for 127.0.0.1 (server.pem, key.pem)."""

import pathlib
import sys

import trustme

folder = pathlib.Path(sys.argv[1])
authority = trustme.CA()
server = authority.issue_cert("127.0.0.1")
authority.cert_pem.write_to_path(folder / "authority.pem")
server.private_key_pem.write_to_path(folder / "key.pem")
for part in server.cert_chain_pems:
    part.write_to_path(folder / "server.pem", append=True)
