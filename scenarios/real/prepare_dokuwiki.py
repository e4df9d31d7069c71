"""Make the wiki that dokuwiki.yaml runs: Debian's own DokuWiki package, unpacked (not installed) into a directory.

Usage: python prepare_dokuwiki.py DIRECTORY      (Debian or Ubuntu; WIKI_PASSWORD in the environment)

The packages are downloaded with apt-get, their absolute paths are pointed into DIRECTORY, and a user ``admin`` is added: what
the package's installer does, without touching the system. The document root is DIRECTORY/usr/share/dokuwiki.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("dokuwiki", "libphp-simplepie", "php-geshi", "php-phpseclib", "php-random-compat",
            "libjs-jquery", "libjs-jquery-ui", "libjs-jquery-cookie")  # fmt: skip
MOVED = re.compile(rb"(?<![\w/.-])/(?=(?:etc|var/lib)/dokuwiki|usr/share/(?:dokuwiki|php|php-geshi|javascript)\b)")
LOCAL = """<?php
$conf['title'] = 'A wiki under load';
$conf['useacl'] = 1;
$conf['superuser'] = 'admin';
$conf['authtype'] = 'authplain';
$conf['disableactions'] = 'register';
"""
ACL = "*\t@ALL\t1\n*\t@user\t8\n"


def main() -> int:
    """Unpack and configure the wiki unless it is there already."""
    if len(sys.argv) != 2 or "WIKI_PASSWORD" not in os.environ:
        sys.stderr.write(__doc__ or "")
        return 2
    directory = Path(sys.argv[1]).absolute()
    if not (directory / "usr/share/dokuwiki/doku.php").exists():
        unpack(directory)
    configure(directory, os.environ["WIKI_PASSWORD"])
    return 0


def unpack(directory: Path) -> None:
    """Download and unpack the packages, then point their absolute paths into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        quiet = ["-qq", "-o", "APT::Sandbox::User=root"]
        subprocess.run(["apt-get", *quiet, "download", *PACKAGES], cwd=downloads, check=True)
        for package in sorted(Path(downloads).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(directory)], check=True)
    prefix = str(directory).encode() + b"/"
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() and (target := str(path.readlink())).startswith("/"):
            path.unlink()
            path.symlink_to(directory / target.lstrip("/"))
        elif path.suffix in {".php", ".inc"} and path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            moved = MOVED.sub(lambda _: prefix, text)
            if moved != text:
                path.write_bytes(moved)


def configure(directory: Path, password: str) -> None:
    """A superuser, read access for all, and a first page; everything the web server's user must write is opened to it."""
    conf = directory / "etc/dokuwiki"
    state = directory / "var/lib/dokuwiki"
    (conf / "local.php").write_text(LOCAL)
    (state / "acl").mkdir(exist_ok=True)
    (state / "acl/acl.auth.php").write_text(ACL)
    (state / "acl/users.auth.php").write_text(f"admin:{hashed(password)}:Admin:admin@example.org:admin,user\n")
    pages = state / "data/pages"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / "start.txt").write_text("====== Start ======\nSee [[notes]] and [[wiki:syntax]].\n")
    (pages / "notes.txt").write_text(
        "====== Notes ======\n" + "".join(f"  * note {n} with **bold** text\n" for n in range(200))
    )
    if os.geteuid() == 0:
        for top in (state, conf):
            for path in (top, *top.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o777 if path.is_dir() else 0o666)
    shutil.rmtree(state / "data/cache", ignore_errors=True)
    (state / "data/cache").mkdir(mode=0o777)
    (state / "data/cache").chmod(0o777)


def hashed(password: str) -> str:
    """In DokuWiki's ``djangomd5`` format, the simplest salted one it reads: ``md5$<salt>$<md5(salt + password)>``."""
    salt = os.urandom(3).hex()[:5]  # the length by which DokuWiki tells this format
    return f"md5${salt}${hashlib.md5(f'{salt}{password}'.encode(), usedforsecurity=False).hexdigest()}"


if __name__ == "__main__":
    sys.exit(main())
