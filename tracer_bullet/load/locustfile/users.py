"""Users whose requests are bullets under a plain `locust`, too: importing this installs the plug-in."""

from __future__ import annotations

from locust import FastHttpUser, HttpUser

from tracer_bullet.load.locustfile.plugin import install


class TracerUser(HttpUser):
    """An HttpUser (requests) whose every request carries the flag and waits until its endpoint is armed."""

    abstract = True


class TracerFastHttpUser(FastHttpUser):
    """The same of FastHttpUser (geventhttpclient)."""

    abstract = True


install()
