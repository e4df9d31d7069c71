"""Make ``tests/support`` and the package ``specimens`` importable in every test, whatever the import mode; no example has to be
quick."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path[:0] = [str(Path(__file__).parent / "support"), str(Path(__file__).parent)]

settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
