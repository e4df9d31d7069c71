"""Xdebug's files in other places than our file system: as a process sees them, in containers, on other hosts.

`place` says where, `outputs_in` gives the `adapters.php.xdebug.outputs.Outputs` of it, `checks` looks whether it can be reached.
Two roads: `process_outputs` goes below ``/proc/PID/root``; `shell_outputs` talks to one POSIX shell script over a line, which
is ``podman exec`` or ``ssh``.
"""
