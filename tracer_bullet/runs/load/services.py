"""What the traces say of services under load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracer_bullet.load.thresholds import Figures, figures_of_spans
from tracer_bullet.model import Analysis
from tracer_bullet.model.load import ServiceResult
from tracer_bullet.runs.load.sampling import sampling_words, service_results
from tracer_bullet.workspace.runs import RunFolder, read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Results for the report, figures for thresholds by service, and one sentence on how they were sampled."""

    results: tuple[ServiceResult, ...] = ()
    figures: Mapping[str, Figures] = field(default_factory=dict)
    sampling: str = ""


def read_services(folder: RunFolder, *, share: float, trace_share: float, seconds: float, audited: int) -> Services:
    """From the run's analysis. `share`: of iterations, those whose traces were kept."""
    analysis = read_json(folder.analysis, Analysis)
    figures = {
        s.service: figures_of_spans(s.durations, errors=s.errors, seconds=seconds, share=share)
        for s in analysis.services
    }
    results = service_results(analysis, share)
    words = sampling_words(share, audited, trace_share=trace_share, services=results)
    return Services(results=results, figures=figures, sampling=words)
