"""permissions.py FILE PROGRAM: tries the IAM policies for real. FILE holds the outputs of modules/archive_policy, PROGRAM is
convex-archiver. An S3 server (moto) checks every signature and permission; each role is a user with exactly its policy, and the
program runs as that user.

moto knows actions and resources, but not the condition `s3:prefix`, so that alone is not tried.
"""

import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

# As terraform/check gives them to the module.
BUCKET, PREFIX = "lake", "convex/happy-otter"
ROLES = ("writer", "reader", "verifier", "vacuum")
REDUCED = {"writer": ("s3:ListBucket", "s3:GetObject", "s3:PutObject"), "reader": ("s3:ListBucket", "s3:GetObject")}
USERS = ["admin", *ROLES, *(f"{role} without {action}" for role, actions in REDUCED.items() for action in actions)]
# So many calls set everything up; from then on, whoever asks must be known and allowed.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(2 + 3 * len(USERS))

import boto3  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

logging.getLogger("werkzeug").setLevel(logging.ERROR)


def policy_of(user, outputs):
    if user == "admin":
        return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
    role, _, action = user.partition(" without ")
    text = outputs[f"aws_{role}_policy_json"]
    policy = json.loads(text)
    for statement in policy["Statement"]:
        if action:
            statement["Action"] = [a for a in statement["Action"] if a != action]
    return text if not action else json.dumps({**policy, "Statement": [s for s in policy["Statement"] if s["Action"]]})


class Checks:
    def __init__(self):
        self.wrong, self.done = [], 0

    def that(self, holds, what, why=""):
        self.done += 1
        if not holds:
            self.wrong.append(f"{what}: {why}" if why else what)


class Cloud:
    def __init__(self, outputs):
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.get_host_and_port()[1]}"
        self.settings = {"endpoint_url": self.url, "region_name": "us-east-1"}
        setup = {**self.settings, "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        s3 = boto3.client("s3", **setup)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        iam, self.keys = boto3.client("iam", **setup), {}
        for number, user in enumerate(USERS):
            iam.create_user(UserName=f"u{number}")
            iam.put_user_policy(UserName=f"u{number}", PolicyName="archive", PolicyDocument=policy_of(user, outputs))
            key = iam.create_access_key(UserName=f"u{number}")["AccessKey"]
            self.keys[user] = key["AccessKeyId"], key["SecretAccessKey"]

    def s3(self, user):
        key, secret = self.keys[user]
        return boto3.client("s3", **self.settings, aws_access_key_id=key, aws_secret_access_key=secret)

    def environment(self, user):
        key, secret = self.keys[user]
        return {
            "AWS_ENDPOINT": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
        }


class Program:
    def __init__(self, path, cloud, deployment, folder):
        self.path, self.cloud, self.deployment, self.folder = path, cloud, deployment, folder
        self.archive = f"s3://{BUCKET}/{PREFIX}"

    def run(self, user, *arguments):
        """(exit code, everything that was said)"""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CONVEX_", "RUST_LOG"))}
        environment |= self.cloud.environment(user) | {"CONVEX_ARCHIVE": self.archive, "CONVEX_DEPLOY_KEY": "simulated|key"}
        ended = subprocess.run(
            [self.path, *arguments], env=environment, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        return ended.returncode, ended.stdout + ended.stderr

    def sync(self, user):
        return self.run(user, "sync", "--deployment", self.deployment)

    def check(self, user, *arguments):
        return self.run(user, "check", "--deployment", self.deployment, *arguments)

    def audit(self, user, *arguments):
        return self.run(user, "audit", "--deployment", self.deployment, *arguments)


def refused(call):
    """Whether the call was refused for want of a permission; another error is one."""
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":
            return True
        raise
    return False


def allows(expression, key):
    """What an IAM condition of Google Cloud says of an object: as much of its language as the module uses for them."""
    text = expression.replace("||", "or").replace("&&", "and").replace("resource.name", "name")
    text = text.replace(".startsWith(", ".startswith(").replace(".endsWith(", ".endswith(")
    return eval(text, {"__builtins__": {}}, {"name": f"projects/_/buckets/{BUCKET}/objects/{key}"})  # Our own text.


def try_google(checks, cloud, grants):
    """Google Cloud takes an overwrite for a delete: nothing is overwritten but what its writer may delete there. Nothing of Google's
    runs here; the versions in the bucket tell what was overwritten."""
    versions = {}
    for page in cloud.s3("admin").get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for version in page.get("Versions", []):
            versions[version["Key"]] = versions.get(version["Key"], 0) + 1
    writer, vacuum = grants["writer"], grants["vacuum"]
    for key, count in versions.items():
        checks.that(allows(writer["write"]["expression"], key), f"the writer may not create {key} on Google Cloud")
        may_rewrite = allows(writer["rewrite"]["expression"], key)
        checks.that(count == 1 or may_rewrite, f"{key} was overwritten, and may not be on Google Cloud")
        is_file = key.removeprefix(f"{PREFIX}/").partition("/")[0] in ("log", "parts", "tables", "components")
        checks.that(allows(vacuum["delete"]["expression"], key) == is_file, f"vacuum, on Google Cloud: {key}")
    checks.that(max(versions.values()) > 1, "nothing was overwritten: this proves nothing")
    commits = [key for key in versions if key.startswith(f"{PREFIX}/log/") and key.endswith(".json")]
    checks.that(commits and not any(allows(writer["rewrite"]["expression"], key) for key in commits), "the writer may delete commits")
    checks.that(not allows(writer["write"]["expression"], "other/probe"), "the writer may write elsewhere on Google Cloud")


def try_calls(checks, cloud):
    """What each role may do, call by call."""
    admin, inside, outside = cloud.s3("admin"), f"{PREFIX}/tables/probe", "other/probe"
    for user in ROLES:
        s3, put, delete = cloud.s3(user), user == "writer", user == "vacuum"
        admin.put_object(Bucket=BUCKET, Key=inside, Body=b"x")
        admin.put_object(Bucket=BUCKET, Key=outside, Body=b"x")
        upload = admin.create_multipart_upload(Bucket=BUCKET, Key=inside)["UploadId"]
        for what, call, allowed in (
            ("list", lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/"), True),
            ("get", lambda: s3.get_object(Bucket=BUCKET, Key=inside), True),
            ("put", lambda: s3.put_object(Bucket=BUCKET, Key=f"{inside}-{user}", Body=b"x"), put),
            ("put if absent", lambda: s3.put_object(Bucket=BUCKET, Key=f"{inside}-{user}-new", Body=b"x", IfNoneMatch="*"), put),
            ("begin an upload", lambda: s3.create_multipart_upload(Bucket=BUCKET, Key=inside), put),
            ("give up an upload", lambda: s3.abort_multipart_upload(Bucket=BUCKET, Key=inside, UploadId=upload), put),
            ("delete a file", lambda: s3.delete_object(Bucket=BUCKET, Key=inside), delete),
            ("delete archive.json", lambda: s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/archive.json"), False),
            ("delete manifest.json", lambda: s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/manifest.json"), False),
            ("get outside", lambda: s3.get_object(Bucket=BUCKET, Key=outside), False),
            ("put outside", lambda: s3.put_object(Bucket=BUCKET, Key=outside, Body=b"x"), False),
            ("delete outside", lambda: s3.delete_object(Bucket=BUCKET, Key=outside), False),
            ("delete the bucket", lambda: s3.delete_bucket(Bucket=BUCKET), False),
        ):
            checks.that(refused(call) != allowed, f"{user}: {what}", "allowed" if not allowed else "refused")
    for key in admin.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        if "/probe" in key["Key"]:
            admin.delete_object(Bucket=BUCKET, Key=key["Key"])


def try_program(checks, cloud, program):
    """What each role is for, with the program."""
    lacks = "the credentials lack the permission"

    def works(user, what, ended):
        checks.that(ended[0] == 0, f"{user}: {what}", f"exit code {ended[0]}\n{ended[1]}")

    def is_refused(user, what, ended):
        checks.that(ended[0] == 2 and lacks in ended[1], f"{user}: {what} is not refused as it should", f"exit code {ended[0]}\n{ended[1]}")

    works("writer", "the first sync", program.sync("writer"))
    if checks.wrong:
        return ["everything that needs an archive"]
    for _ in range(3):
        works("writer", "a later sync", program.sync("writer"))
    works("writer", "an audit that is recorded", program.audit("writer"))

    def told(user, what, ended, code, *lines):
        found = [line for line in lines if line not in ended[1]]
        checks.that(ended[0] == code and not found, f"{user}: {what}", f"exit code {ended[0]}, lacks {found}\n{ended[1]}")

    read, no_write = "ok       Read", "WRONG    Write "
    told("writer", "check", program.check("writer"), 0, read, "ok       Write ", "ok       Overwrite", "note     Delete", "files cannot be deleted")
    works("verifier", "verify", program.run("verifier", "verify", "--read-data"))
    told("reader", "status after verify", program.run("reader", "status"), 0, "Verified")
    before = cloud.s3("admin").list_objects_v2(Bucket=BUCKET)["KeyCount"]
    for user in ("reader", "verifier", "vacuum"):
        told(user, "check", program.check(user), 3, read, no_write)
        told(user, "check --read-only", program.check(user, "--read-only"), 0, read, "unknown  Write ")

    works("reader", "status", program.run("reader", "status"))
    works("reader", "tables", program.run("reader", "tables", "--count"))
    works("reader", "log", program.run("reader", "log"))
    told("reader", "verify", program.run("reader", "verify"), 0, "cannot record this verification")
    works("reader", "copy to a folder", program.run("reader", "copy", "--to", "copy"))
    works("writer", "repair", program.run("writer", "repair"))
    works("writer", "compact", program.run("writer", "compact", "--plan"))
    works("reader", "restore", program.run("reader", "restore", "--output", "restored.zip"))
    restored = program.folder / "restored.zip"
    checks.that(restored.is_file() and restored.stat().st_size > 1000, "reader: nothing was restored")
    skipped = []
    if shutil.which("duckdb"):
        works("reader", "query", program.run("reader", "query", "SELECT count(*) FROM messages"))
    else:
        skipped.append("query (no duckdb on the PATH)")
    is_refused("reader", "sync", program.sync("reader"))

    works("verifier", "audit --dry-run", program.audit("verifier", "--dry-run"))
    is_refused("verifier", "an audit that is recorded", program.audit("verifier"))
    is_refused("verifier", "sync", program.sync("verifier"))

    works("vacuum", "status", program.run("vacuum", "status"))
    works("vacuum", "vacuum", program.run("vacuum", "vacuum"))
    is_refused("vacuum", "sync", program.sync("vacuum"))

    # Nothing in the policies is too much: without any one of the rights it does not go. An archive is listed where it has no
    # manifest.json. (On Amazon's S3 listing is needed besides to be told that an object is absent; moto tells everybody.)
    for role, actions in REDUCED.items():
        for action in actions:
            if action == "s3:ListBucket":
                admin = cloud.s3("admin")
                manifest = admin.get_object(Bucket=BUCKET, Key=f"{PREFIX}/manifest.json")["Body"].read()
                admin.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/manifest.json")
                works("reader", "status without a manifest", program.run("reader", "status"))
            user = f"{role} without {action}"
            ended = program.sync(user) if role == "writer" else program.run(user, "status")
            checks.that(ended[0] == 2 and lacks in ended[1], f"{user}: still goes", f"exit code {ended[0]}\n{ended[1]}")
            if action == "s3:ListBucket":
                admin.put_object(Bucket=BUCKET, Key=f"{PREFIX}/manifest.json", Body=manifest)

    after = cloud.s3("admin").list_objects_v2(Bucket=BUCKET)["KeyCount"]
    checks.that(before == after > 5, "who may not write has left something", f"{before} objects, then {after}")
    return skipped


def main(file, path):
    with open(file) as text:
        outputs = json.load(text)
    path, checks, cloud = pathlib.Path(path).resolve(), Checks(), Cloud(outputs)
    with tempfile.TemporaryDirectory() as folder, open(pathlib.Path(folder) / "simulate", "w+") as said:
        arguments = ["simulate", "--listen", "127.0.0.1:0", "--key", "simulated|key", "--generate", "300", "--writes-per-second", "50"]
        deployment = subprocess.Popen([path, *arguments], stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            url = next(line.split()[1] for line in deployment.stdout if line.startswith("URL:"))
            skipped = try_program(checks, cloud, Program(path, cloud, url, pathlib.Path(folder)))
            try_google(checks, cloud, outputs["gcp_grants"])
            try_calls(checks, cloud)
        finally:
            deployment.kill()
            deployment.wait()
            cloud.server.stop()
    print("\n".join(checks.wrong))
    print(f"{checks.done} trials: {len(checks.wrong)} wrong{''.join(f'; skipped: {what}' for what in skipped)}")
    sys.exit(bool(checks.wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
