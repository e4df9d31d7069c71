"""smaps of a real PHP with opcache, its JIT and APCu, against what PHP itself says of its shared memory."""

from __future__ import annotations

import json
import subprocess

import pytest

from harness.sampling.sources import pid_smaps, pid_smaps_classes

pytestmark = pytest.mark.integration

MIB = 1 << 20
SETTINGS = {
    "opcache.enable_cli": "1",
    "opcache.memory_consumption": "64",
    "opcache.jit": "tracing",
    "opcache.jit_buffer_size": "16M",
    "apc.enable_cli": "1",
    "apc.shm_size": "8M",
    "xdebug.mode": "off",  # a debugger turns the JIT off
}
PROGRAM = """
preg_match('/a+b/', 'aab');
apcu_store('x', str_repeat('y', 1 << 20));
echo json_encode(['buffer' => opcache_get_status(false)['jit']['buffer_size'], 'apcu' => apcu_sma_info(true)['seg_size']]), "\\n";
fgets(STDIN);
"""


def test_segments_of_opcache_and_apcu_and_the_jit_buffer() -> None:
    options = [word for name, value in SETTINGS.items() for word in ("-d", f"{name}={value}")]
    with subprocess.Popen(
        ["php", *options, "-r", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as php:
        assert php.stdout is not None
        line = php.stdout.readline()
        told = json.loads(line)
        found = pid_smaps_classes.read("/proc", php.pid)
        rollup = pid_smaps.read_rollup("/proc", php.pid)
    assert found is not None
    assert rollup is not None
    shared, code = found.classes["opcache_apcu"], found.classes["jit"]
    assert shared.size is not None
    assert shared.rss is not None
    assert code.size is not None
    # The JIT buffer is the end of opcache's segment and mapped executable, so it is told apart; PCRE has a little code too.
    assert told["buffer"] <= 16 * MIB <= code.size <= 17 * MIB
    assert told["apcu"] <= 8 * MIB
    assert 64 * MIB + 8 * MIB <= shared.size <= 64 * MIB + 8 * MIB + 64 * 1024
    assert shared.rss >= MIB  # what was stored in APCu
    assert "shared_anonymous" not in found.classes
    assert found.names.opcache is not None
    assert found.names.apcu is not None
    assert found.names.allocator == "glibc"
    assert sum(sums.rss or 0 for sums in found.classes.values()) == pytest.approx(rollup.rss, abs=256 * 1024)
