# SPDX-License-Identifier: MIT
"""What a command, this process, or each group of processes on this host has used.

See proctally-python(7).
"""

try:
    from ._native import ffi as _ffi
    from ._native import lib as _lib
except ImportError as _error:
    if "subinterpreter" in str(_error):
        raise ImportError(
            "proctally can't be imported in a subinterpreter, which cffi does not know; import it "
            "in the main interpreter or in another process"
        ) from _error
    raise
from .collecting import Collector, Group, Process, Snapshot, Values
from .errors import ConfigError
from .metrics import METRICS, Metric
from .profiling import Profile, monitor, profile
from .summaries import (
    Program,
    Summary,
    generate_summary_from_file,
    generate_summary_from_metrics_json,
)
from .watching import ProcessMonitor, execute_with_monitoring

# ---- analysis, files and plots: begin (these modules come with a commit of their own) ----
from .analysis import aggregate_metrics as aggregate_metrics
from .analysis import find_peaks as find_peaks
from .analysis import process_tree_analysis as process_tree_analysis
from .analysis import resource_utilization as resource_utilization
from .files import convert_format as convert_format
from .files import load_metrics as load_metrics
from .files import save_metrics as save_metrics
from .plots import plot as plot
from .reports import report as report
# ---- analysis, files and plots: end ----

__version__: str = _ffi.string(_lib.tally_version()).decode()

__all__ = [
    "METRICS",
    "Collector",
    "ConfigError",
    "Group",
    "Metric",
    "Process",
    "ProcessMonitor",
    "Profile",
    "Program",
    "Snapshot",
    "Summary",
    "Values",
    "execute_with_monitoring",
    "generate_summary_from_file",
    "generate_summary_from_metrics_json",
    "monitor",
    "profile",
]
