"""What docs/load-profiles.md shows can be written, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml

from tracer_bullet.load.profile import Profile
from tracer_bullet.workspace.traffic import LoadSpec

_PAGE = (Path(__file__).parents[4] / "docs" / "load-profiles.md").read_text(encoding="utf-8")


def test_every_example_is_a_load() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", _PAGE, re.DOTALL)
    loads = [LoadSpec.model_validate(yaml.safe_load(block)["load"]) for block in blocks]
    assert [load.is_open for load in loads] == [True, True, True]
    profile = Profile(loads[1].profile, arrivals=loads[1].arrivals, seed=loads[1].seed)
    assert profile.span_s == 870


def test_the_first_of_fifty_a_second_and_the_first_of_twenty_users_come_when_it_says() -> None:
    rate = LoadSpec.model_validate({"rate": "50/s", "duration": "1s"})
    assert (next(Profile(rate.profile).due_ns()) // 1_000_000)[:3].tolist() == [10, 30, 50]
    users = LoadSpec.model_validate({"stages": [{"for": "40s", "users_to": 20}]})
    assert Profile(users.profile).user_spans(0)[0][0] == 1_000_000_000
    chance = LoadSpec.model_validate({"rate": "100/s", "duration": "100s", "arrivals": "poisson"})
    totals = [Profile(chance.profile, arrivals="poisson", seed=seed).total for seed in range(200)]
    assert np.mean([abs(total - 10_000) < 200 for total in totals]) > 0.9
