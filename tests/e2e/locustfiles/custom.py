"""Custom clients, as in Locust's examples: XML-RPC, and requests by itself, told to Locust by its request event."""

import time
from xmlrpc.client import ServerProxy

import requests
from locust import LoadTestShape, User, events, task


class XmlRpcClient(ServerProxy):
    def __init__(self, host, request_event):
        super().__init__(host)
        self._request_event = request_event

    def __getattr__(self, name):
        func = ServerProxy.__getattr__(self, name)

        def wrapper(*args, **kwargs):
            start = time.perf_counter()
            meta = {"request_type": "xmlrpc", "name": name, "response_length": 0, "response": None, "context": {}}
            meta["exception"] = None
            meta["start_time"] = time.time()
            try:
                meta["response"] = func(*args, **kwargs)
            except Exception as error:  # noqa: BLE001
                # The shop speaks no XML-RPC: it answers 404, which is an answer.
                meta["answered"] = getattr(error, "errcode", 0)
            meta["response_time"] = (time.perf_counter() - start) * 1000
            self._request_event.fire(**meta)
            return meta["response"]

        return wrapper


class XmlRpcUser(User):
    def __init__(self, environment):
        super().__init__(environment)
        self.client = XmlRpcClient(self.host, request_event=environment.events.request)

    @task
    def get_time(self):
        self.client.get_time()
        time.sleep(0.05)


class Plain(User):
    @task
    def products(self):
        with events.request.measure("requests", "products") as meta:
            response = requests.get(f"{self.host}/products", timeout=30)
            meta["response_length"] = len(response.content)
        time.sleep(0.05)


class Steps(LoadTestShape):
    def tick(self):
        entries = self.runner.stats.entries.values()
        enough = len(entries) > 1 and all(entry.num_requests > 5 for entry in entries)
        return None if enough else (2 if self.get_run_time() < 1 else 4, 4)
