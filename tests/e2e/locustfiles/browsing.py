"""Weights, tags, wait times, nested and sequential task sets, names, catch_response, hooks, arguments."""

import random

import gevent
from locust import FastHttpUser, HttpUser, SequentialTaskSet, TaskSet, between, constant, events, tag, task

seen = []
names = set()


@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--sku", default="", help="What is bought")


@events.request.add_listener
def on_request(request_type, name, response_time, exception, **kwargs):
    seen.append((request_type, name, exception))
    names.add(name)
    if len(seen) >= 150 and {"/login", "/cart", "/checkout", "/products", "/no-such-page"} <= names:
        gevent.spawn(kwargs["context"]["environment"].runner.quit)


@events.test_stop.add_listener
def on_test_stop(environment, **kwargs):
    print(f"HOOKS SAW {len(seen)} AND {environment.parsed_options.sku}")  # noqa: T201


class Buying(SequentialTaskSet):
    wait_time = constant(0.05)

    @task
    def fill(self):
        with self.client.post("/cart", json={"sku": self.user.sku, "quantity": 1}, catch_response=True) as response:
            if "cart_id" not in response.json():
                response.failure("no cart")

    @task
    def pay(self):
        self.client.post("/checkout", json={"items": [{"sku": self.user.sku, "quantity": 1}]}, name="/checkout")

    @task
    def leave(self):
        self.interrupt()


class Looking(TaskSet):
    @task(3)
    def products(self):
        self.client.get(f"/products?at={random.random()}", name="/products")

    @tag("missing")
    @task
    def nothing(self):
        with self.client.get("/no-such-page", catch_response=True) as response:
            if response.status_code == 404:
                response.success()

    @task
    def stop(self):
        self.interrupt(reschedule=False)


class Shopper(HttpUser):
    wait_time = between(0.01, 0.05)
    tasks = {Looking: 2, Buying: 1}  # noqa: RUF012

    def context(self):
        return {"environment": self.environment}

    def on_start(self):
        self.sku = self.environment.parsed_options.sku or "mug"
        self.client.post("/login", json={"user": "tester-1", "password": "t-1"})


class Fast(FastHttpUser):
    wait_time = between(0.01, 0.05)

    def context(self):
        return {"environment": self.environment}

    @task
    def products(self):
        self.client.get("/products")

    @task
    def rest_products(self):
        with self.rest("GET", "/products") as response:
            assert response.js["items"], "no items,"

    @tag("never")
    @task
    def never(self):
        self.client.get("/never")
