"""Write a second copy of the values of a run, as a file for TensorBoard."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class TensorBoardFile:
    """An event file, `events.out.tfevents.*`, written without a thread.

    TensorBoard's own writer uses a thread. If the folder is missing or the disk is full, a user
    would see the traceback of this thread. The file is only open during a flush.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        self._pending = [Event(wall_time=now, file_version="brain.Event:2")]

    def add(self, prefix: str, step: int, values: dict[str, float]) -> None:
        """Collect the values of one step, each under the tag `<prefix><name>`."""
        scalars = [Summary.Value(tag=prefix + n, simple_value=v) for n, v in values.items()]
        summary = Summary(value=scalars)
        self._pending.append(Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Append the collected values.

        Raises:
            OSError: the disk is full or the folder is missing; the collected values are lost.
        """
        pending, self._pending = self._pending, []
        if pending:
            with open(self.path, "ab") as file:
                records = RecordWriter(file)
                for event in pending:
                    records.write(event.SerializeToString())
