"""import_fake.py KEY HOLDS: a FAKE of the part of a Convex deployment that `npx convex import` speaks with, on a free port of
127.0.0.1, which it prints; it lives as long as its standard input is open. What it takes and refuses, `import_rules.py` says.

After each import HOLDS is what the deployment holds: a line a document, `{"table", "id", "document"}`, values in the form that
`expected.rs` describes. The log of requests is printed: a line for each, as `POST /api/import/start_upload`.
"""

import asyncio
import base64
import itertools
import json
import sys

from aiohttp import WSMsgType, web
from import_rules import Refused, Target, read

SMALLEST_PART = 5 << 20


class Fake:
    """Uploads and imports of one deployment."""

    def __init__(self, key, holds):
        self.key, self.holds = key, holds
        self.target, self.uploads, self.imports, self.names = Target(), {}, {}, itertools.count(1)

    def start(self):
        token = f"upload-{next(self.names)}"
        self.uploads[token] = []
        return {"uploadToken": token}

    def part(self, token, number, content):
        parts = self.upload(token)
        if number != len(parts) + 1 or number >= 10_000:
            raise Refused("BadPart", f"part {number} after {len(parts)}")
        parts.append(content)
        return f"{token}/{number}"

    def upload(self, token):
        if token not in self.uploads:
            raise Refused("BadUploadToken", f"no such upload: {token}")
        return self.uploads[token]

    def finish(self, wanted):
        parts, tokens = self.upload(wanted["uploadToken"]), wanted["partTokens"]
        if tokens != [f"{wanted['uploadToken']}/{number}" for number in range(1, len(parts) + 1)]:
            raise Refused("BadPart", f"{tokens} for {len(parts)} parts")
        if any(len(part) < SMALLEST_PART for part in parts[:-1]):
            raise Refused("BadPart", "a part before the last is smaller than 5 MiB")
        how = wanted["import"]
        if how["format"] != "zip" or how.get("tableName") or how.get("componentPath"):
            raise Refused("FakeOnly", f"the fake takes whole ZIPs only, not {how}")
        name = f"import-{next(self.names)}"
        self.imports[name] = {"mode": how["mode"]} | self.parsed(b"".join(parts), how["mode"])
        return {"importId": name}

    def parsed(self, content, mode):
        try:
            tables = read(content)
        except Refused as refused:
            return {"state": {"state": "failed", "error_message": str(refused)}}
        # What the client shows and asks, unless it was told `-y`.
        message = "" if mode in {"requireEmpty", "append"} else f"The import will {mode}: {len(tables)} tables."
        asks = {"message_to_confirm": message, "require_manual_confirmation": True}
        return {"tables": tables, "state": {"state": "waiting_for_confirmation"} | asks}

    def perform(self, wanted):
        found = self.imports[wanted["importId"]]
        if found["state"]["state"] != "waiting_for_confirmation":
            raise Refused("ImportFailed", f"the import is {found['state']['state']}")
        try:
            written = self.target.take(found["tables"], found["mode"])
        except Refused as refused:
            found["state"] = {"state": "failed", "error_message": str(refused)}
            return None
        self.write_down()
        rows = base64.b64encode(written.to_bytes(8, "little")).decode()
        found["state"] = {"state": "completed", "num_rows_written": {"$integer": rows}}
        return None

    def write_down(self):
        with open(self.holds, "w", encoding="utf-8") as file:
            for (component, name), table in sorted(self.target.tables.items()):
                whole = "/".join(filter(None, [component, name]))
                for key, document in table.documents.items():
                    file.write(json.dumps({"table": whole, "id": key, "document": document}) + "\n")

    def delete(self, wanted):
        """As a mutation does. No part of the real API."""
        component, _, name = wanted["table"].rpartition("/")
        self.target.delete((component, name), wanted["id"])

    def query(self, wanted):
        """Imports that are in progress: none, since each is over when it was asked for."""
        if wanted["path"] != "_system/cli/queryImport:list":
            raise Refused("FakeOnly", f"the fake knows no query {wanted['path']}")
        return {"status": "success", "value": [], "logLines": []}

    def answer(self, query):
        """To a subscription: how an import stands. It changes by requests only, so this is said once."""
        if query["udfPath"] not in {"_system/cli/queryImport", "_system/cli/queryImport:default"}:
            raise Refused("FakeOnly", f"the fake knows no query {query['udfPath']}")
        value = {"state": self.imports[query["args"][0]["importId"]]["state"]}
        return {"type": "QueryUpdated", "queryId": query["queryId"], "value": value, "logLines": [], "journal": None}


def routes(fake):
    @web.middleware
    async def told_and_refused(request, handler):
        print(request.method, request.path, flush=True)
        known = request.headers.get("Authorization") == f"Convex {fake.key}"
        # A WebSocket says its key later.
        if not known and not request.path.endswith("/sync"):
            return web.json_response({"code": "BadAdminKey", "message": "The provided admin key was invalid"}, status=401)
        try:
            return await handler(request)
        except Refused as refused:
            return web.json_response({"code": refused.code, "message": str(refused)}, status=400)

    async def start_upload(_):
        return web.json_response(fake.start())

    async def upload_part(request):
        content = await request.read()
        return web.json_response(fake.part(request.query["uploadToken"], int(request.query["partNumber"]), content))

    def of_json(act):
        async def handler(request):
            return web.json_response(act(await request.json()))

        return handler

    app = web.Application(middlewares=[told_and_refused], client_max_size=1 << 30)
    app.router.add_post("/api/query", of_json(fake.query))
    app.router.add_post("/api/import/start_upload", start_upload)
    app.router.add_post("/api/import/upload_part", upload_part)
    app.router.add_post("/api/import/finish_upload", of_json(fake.finish))
    app.router.add_post("/api/perform_import", of_json(fake.perform))
    app.router.add_post("/fake/delete", of_json(fake.delete))
    app.router.add_get("/api/{version}/sync", lambda request: sync(fake, request))
    return app


async def sync(fake, request):
    """The WebSocket by which the client subscribes to the state of its import."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    version = {"querySet": 0, "identity": 0, "ts": "AAAAAAAAAAA="}
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        said, changes, following = json.loads(message.data), [], dict(version)
        if said["type"] == "Authenticate":
            if said["tokenType"] != "Admin" or said["value"] != fake.key:
                await socket.send_json({"type": "FatalError", "error": "The provided admin key was invalid"})
                break
            following["identity"] += 1
        elif said["type"] == "ModifyQuerySet":
            following["querySet"] = said["newVersion"]
            changes = [fake.answer(query) for query in said["modifications"] if query["type"] == "Add"]
        else:
            continue
        transition = {"type": "Transition", "startVersion": version, "endVersion": following, "modifications": changes}
        await socket.send_json(transition)
        version = following
    return socket


async def serve(fake):
    runner = web.AppRunner(routes(fake))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Fake(*sys.argv[1:])))
