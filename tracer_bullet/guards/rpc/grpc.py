"""gRPC, both ways: `server_interceptor` and `aio_server_interceptor` for what comes in, GUARD for what goes out.

    server = grpc.server(pool, interceptors=[server_interceptor(), *others])

Under `opentelemetry-instrument` the interceptors are put there without a line of code.
"""

from tracer_bullet.guards.rpc.grpc_client import GUARD
from tracer_bullet.guards.rpc.grpc_server import PROBLEM_KEY, aio_server_interceptor, server_interceptor

__all__ = ["GUARD", "PROBLEM_KEY", "aio_server_interceptor", "server_interceptor"]
