"""Places in a bucket, as the tests see them: by boto3, not by our own store."""

import json

from conftest import tree

MANIFEST = ".visprep/manifest.jsonl"


class Objects:
    """The objects below a prefix of a bucket."""

    def __init__(self, client, bucket, prefix):
        self.client, self.bucket, self.prefix = client, bucket, f"{prefix}/"
        self.place = f"s3://{bucket}/{prefix}"

    def listed(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        return {one["Key"].removeprefix(self.prefix): one["ETag"] for page in pages for one in page.get("Contents", [])}

    def read(self, path):
        return self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)["Body"].read()

    def put(self, path, data):
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + path, Body=data)

    def delete(self, path):
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + path)

    def tree(self):
        """Every object with its bytes, the manifest without ETags."""
        found = {path: self.read(path) for path in self.listed()}
        lines = [json.loads(line) for line in found[MANIFEST].splitlines()]
        assert all(line.pop("etag", None) for line in lines[1:])
        return found | {MANIFEST: lines}


def on_disk(place):
    found = tree(place)
    return found | {MANIFEST: [json.loads(line) for line in found[MANIFEST].splitlines()]}
