"""Providers without clouds: they tell Terraform the real providers' schemas (from `typings`), and can do nothing else. With
them `terraform validate` checks the modules, and `terraform test` plans and applies them against `mock_provider`.

    provider.py FOLDER NAME=PACKAGE…    serves, for the types used in *.tf below FOLDER, each provider; prints what belongs
                                        into TF_REATTACH_PROVIDERS, and ends when its input is closed

The protocol is Terraform's plugin protocol 6; the few messages needed are written here by hand.
"""

import json
import os
import pathlib
import re
import sys
from concurrent import futures

import grpc
from typings import Typings


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """One field of a message: an integer, or bytes."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(int(value)) if value else b""


def block_message(block):
    out = []
    for name, attribute in block["attributes"].items():
        out.append(
            field(
                2,
                field(1, name.encode())
                + field(2, json.dumps(attribute["type"]).encode())
                + field(4, attribute["required"])
                + field(5, attribute["optional"])
                + field(6, attribute["computed"])
                # Write-only: never in plan or state.
                + field(11, name.endswith("_wo")),
            )
        )
    for name, nested in block["blocks"].items():
        out.append(
            field(
                3,
                field(1, name.encode())
                + field(2, block_message(nested["block"]))
                + field(3, {"list": 2, "set": 3}[nested["nesting"]])
                + field(4, nested["required"])
                + field(5, nested["single"]),
            )
        )
    return b"".join(out)


def schema(block):
    return field(2, block_message(block))


def entry(number, name, block):
    return field(number, field(1, name.encode()) + field(2, schema(block)))


def served(typings, used):
    """GetProviderSchema.Response"""
    out = [field(1, schema(typings.provider()))]
    for number, kind, of in ((2, "resource", typings.resource), (3, "data", typings.data)):
        out += [entry(number, name, block) for which, name in sorted(used) if which == kind and (block := of(name))]
    return b"".join(out)


class Service(grpc.GenericRpcHandler):
    def __init__(self, answer):
        self.answers = {"GetProviderSchema": answer}
        # Whatever fits the schema is fine; mocks do the rest.
        self.fine = {"ValidateProviderConfig", "ValidateResourceConfig", "ValidateDataResourceConfig", "ConfigureProvider", "StopProvider"}

    def service(self, details):
        name = details.method.rpartition("/")[2]
        if name in self.answers or name in self.fine:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: self.answers.get(name, b""))
        return None


def main(folder, *providers):
    text = "\n".join(path.read_text() for path in pathlib.Path(folder).rglob("*.tf"))
    used = set(re.findall(r'^(resource|data) "(\w+)"', text, re.M))
    reattach, servers = {}, []
    for provider in providers:
        name, _, package = provider.partition("=")
        mine = {(kind, of) for kind, of in used if of.startswith(f"{name}_")}
        server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
        server.add_generic_rpc_handlers([Service(served(Typings(package, name), mine))])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        reattach[f"hashicorp/{name}"] = {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    print(json.dumps(reattach), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
