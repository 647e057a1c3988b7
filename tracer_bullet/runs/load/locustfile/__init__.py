"""Load by people's own locustfiles: arguments, the conductor of Locust's processes, and what the run concludes.

`options.parse`, `job.prepare_locustfile` and `recipe.fly` are what the command line calls, in this order.
"""
