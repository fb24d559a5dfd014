"""Objects of an archive, below a path or an `s3://` URL."""

import os
import pathlib


class Store:
    def __init__(self, place):
        self.place = place.rstrip("/")
        self.s3 = place.startswith("s3://")
        if self.s3:
            import boto3
            import botocore.exceptions

            self.bucket, _, self.prefix = self.place.removeprefix("s3://").partition("/")
            self.client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT"])
            self.missing = botocore.exceptions.ClientError
        else:
            self.missing = FileNotFoundError

    def key(self, path):
        return f"{self.prefix}/{path}" if self.prefix else path

    def read(self, path):
        if self.s3:
            return self.client.get_object(Bucket=self.bucket, Key=self.key(path))["Body"].read()
        return pathlib.Path(self.place, path).read_bytes()

    def find(self, path):
        """The object, or None if there is none."""
        try:
            return self.read(path)
        except self.missing:
            return None

    def names(self, folder):
        """The names of the objects right below a folder."""
        if not self.s3:
            return sorted(found.name for found in pathlib.Path(self.place, folder).iterdir() if found.is_file())
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key(folder) + "/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return sorted(key.rpartition("/")[2] for key in keys if key.rpartition("/")[0] == self.key(folder))
