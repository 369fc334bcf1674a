"""The Python blocks of the guides run, from the first to the last of a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
# guides that a test of their subject runs, with more to check
ELSEWHERE = {
    "callbacks.md": "test_callbacks.py",
    "take-the-student-away.md": "test_export.py",
    "your-own-data.md": "test_your_own_data.py",
}
WITH_CODE = {path.name for path in DOCS.glob("*.md") if "```python" in path.read_text("utf-8")}
GUIDES = sorted(WITH_CODE - set(ELSEWHERE))


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path / "runs"))
    text = (DOCS / name).read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    scope: dict[str, object] = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, name, "exec"), scope)


def test_every_guide_is_run() -> None:
    assert "use-the-loss.md" in GUIDES and set(ELSEWHERE) <= WITH_CODE
    for guide, test in ELSEWHERE.items():
        assert guide in Path(__file__).with_name(test).read_text("utf-8")
