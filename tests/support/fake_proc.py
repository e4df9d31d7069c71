"""Small made-up /proc trees, for situations that a test cannot bring about."""

from __future__ import annotations

from pathlib import Path


class FakeProc:
    """A /proc with just the files that are read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "net").mkdir()
        self.listen()

    def listen(self, *sockets: tuple[str, int, int]) -> None:
        """Sockets as (kernel hex address, port, inode)."""
        header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        for table, length in (("tcp", 8), ("tcp6", 32)):
            fields = "00000000:00000000 00:00000000 00000000     0        0"
            remote = f"{'0' * length}:0000"
            rows = [f"   1: {'0' * length}:1F90 {remote} 01 {fields} 999 1\n"]  # established: not a listener
            for address, port, inode in sockets:
                if len(address) == length:
                    rows.append(f"   0: {address}:{port:04X} {remote} 0A {fields} {inode} 1\n")
            (self.root / "net" / table).write_text(header + "".join(rows))

    def process(self, pid: int, ppid: int, comm: str, cmdline: str, *inodes: int, exe: str = "/usr/sbin/x") -> None:
        home = self.root / str(pid)
        (home / "fd").mkdir(parents=True)
        (home / "stat").write_text(f"{pid} ({comm}) S {ppid} 1 1 0\n")
        (home / "cmdline").write_bytes(cmdline.encode().replace(b" ", b"\0"))
        (home / "exe").symlink_to(exe)
        for number, inode in enumerate(inodes, 3):
            (home / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
