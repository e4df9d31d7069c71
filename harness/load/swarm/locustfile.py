"""The locustfile of a scenario: ``locust -f locustfile.py --worker --master-host HOST --master-port PORT``.

It is read by local workers from where it is installed, and by workers elsewhere from what ``harness load export`` wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if (_HERE / "harness").is_dir():  # exported: the modules it needs are beside it
    sys.path.insert(0, str(_HERE))

from harness.load.swarm.crew import ScenarioUser, serve  # noqa: E402

__all__ = ["ScenarioUser"]
serve(_HERE)
