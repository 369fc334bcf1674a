"""Run directories: training writes them, and everything else reads them.

`RunReader` reads a run and `Run` also steers it, while another process trains the run or later.
Neither needs torch.
"""

from wcord.runs.lock import is_locked
from wcord.runs.paths import run_path, runs_folder
from wcord.runs.read_status import SILENT_AFTER, Status
from wcord.runs.reader import RunReader
from wcord.runs.records import ACTIVE, ENDED
from wcord.runs.run import Run, find_run, list_runs
from wcord.runs.snapshot import ArmSnapshot, Snapshot

__all__ = [
    "ACTIVE",
    "ENDED",
    "SILENT_AFTER",
    "ArmSnapshot",
    "Run",
    "RunReader",
    "Snapshot",
    "Status",
    "find_run",
    "is_locked",
    "list_runs",
    "run_path",
    "runs_folder",
]
