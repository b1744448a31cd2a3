"""moto's server, made quick: for every request it lists its own directories to learn which service is meant."""

import contextlib
import functools
import logging


@contextlib.contextmanager
def moto_server():
    """The URL of an S3 on this machine, with the other services that moto plays."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication
    from moto.server import ThreadedMotoServer

    find = DomainDispatcherApplication.get_backend_for_host
    if not hasattr(find, "cache_info"):
        DomainDispatcherApplication.get_backend_for_host = functools.cache(find)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would tell of every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def forget(bucket):
    """Drop a bucket of this process, and every object that ever was in it: moto holds the bytes of all till it ends."""
    from moto.s3.models import FakeKey, s3_backends

    for account in s3_backends.values():
        for backend in account.values():
            if gone := backend.buckets.pop(bucket, None):
                for upload in gone.multiparts.values():
                    upload.dispose()
    for key in FakeKey.instances_tracked:
        if key.bucket_name == bucket:
            key.dispose()
    FakeKey.instances_tracked[:] = [key for key in FakeKey.instances_tracked if not key.disposed]
