"""What shots come to: HdrHistograms by endpoint, punctuality, and a series by second. Pure, but for memory.

Everything adds up: what two processes counted apart, merged, is what one would have counted (never mean percentiles).
Telemetry's posture: values out of range are clamped, never refused.
"""

from tracer_bullet.engine.histogram.hdr import Histogram
from tracer_bullet.engine.histogram.series import Second, SecondSeries, Window
from tracer_bullet.engine.histogram.shots import Histograms
from tracer_bullet.engine.histogram.table import BucketTable

__all__ = ["BucketTable", "Histogram", "Histograms", "Second", "SecondSeries", "Window"]
