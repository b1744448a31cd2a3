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
