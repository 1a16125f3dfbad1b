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
from .analysis import (
    aggregate_metrics,
    find_peaks,
    process_tree_analysis,
    resource_utilization,
)
from .collecting import Collector, Group, Process, Snapshot, Values
from .errors import ConfigError
from .files import convert_format, load_metrics, save_metrics
from .metrics import METRICS, Metric
from .plots import plot
from .profiling import Profile, monitor, profile
from .reports import report
from .summaries import (
    Program,
    Summary,
    generate_summary_from_file,
    generate_summary_from_metrics_json,
)
from .watching import ProcessMonitor, execute_with_monitoring

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
    "aggregate_metrics",
    "convert_format",
    "execute_with_monitoring",
    "find_peaks",
    "generate_summary_from_file",
    "generate_summary_from_metrics_json",
    "load_metrics",
    "monitor",
    "plot",
    "process_tree_analysis",
    "profile",
    "report",
    "resource_utilization",
    "save_metrics",
]
