"""An S3 server (moto) on a free port of 127.0.0.1, which it prints; it lives as long as its standard input is open, so it
ends with whoever started it, however that ends.

    s3_server.py                   takes whatever credentials it is shown
    s3_server.py BUCKET [POLICY]   makes the bucket, a user with that IAM policy (a JSON text; without it one that allows
                                   everything), prints the user's two keys, and from then on checks signatures and permissions
"""

import os
import sys

# As with AWS: from the fifth call on, whoever asks must be known and allowed.
if sys.argv[1:]:
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
print(port, flush=True)
if sys.argv[1:]:
    settings = {
        "endpoint_url": f"http://127.0.0.1:{port}",
        "region_name": "us-east-1",
        "aws_access_key_id": "x",
        "aws_secret_access_key": "x",
    }
    iam = boto3.client("iam", **settings)
    boto3.client("s3", **settings).create_bucket(Bucket=sys.argv[1])
    iam.create_user(UserName="archiver")
    policy = sys.argv[2] if len(sys.argv) > 2 else ALL
    iam.put_user_policy(UserName="archiver", PolicyName="archive", PolicyDocument=policy)
    key = iam.create_access_key(UserName="archiver")["AccessKey"]
    print(key["AccessKeyId"], key["SecretAccessKey"], flush=True)
sys.stdin.read()
