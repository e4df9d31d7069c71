"""Make the wiki that mediawiki.yaml runs: Debian's own MediaWiki package, unpacked (not installed) into a directory, on SQLite.

Usage: python prepare_mediawiki.py DIRECTORY URL      (Debian or Ubuntu with php-cli, php-intl, php-sqlite3; WIKI_PASSWORD in the
environment; URL is the address it will be reached by)

The packages are downloaded with apt-get, their absolute links are pointed into DIRECTORY, and MediaWiki's own installer makes the
database and the user ``admin``; the system is not touched. The document root is DIRECTORY/usr/share/mediawiki.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("mediawiki", "mediawiki-classes")
EXTENSIONS = ("ParserFunctions", "Cite", "CategoryTree", "InputBox", "Poem")
SETTINGS = """
$wgJobRunRate = 0;
$wgMainCacheType = CACHE_NONE;
$wgParserCacheType = CACHE_NONE;
$wgMessageCacheType = CACHE_NONE;
$wgRateLimits = [];
"""
PAGE = """== Section {0} ==
'''Bold''' and ''italic'' with [[Main Page|a link]], {{{{#expr: {0} * 2}}}} and <ref>note {0}</ref>.
{{| class="wikitable"
! a !! b
|-
| {0} || {{{{#if: {0} | yes | no}}}}
|}}
"""


def main() -> int:
    """Unpack and install the wiki unless it is there already."""
    if len(sys.argv) != 3 or "WIKI_PASSWORD" not in os.environ:
        sys.stderr.write(__doc__ or "")
        return 2
    directory, url = Path(sys.argv[1]).absolute(), sys.argv[2].rstrip("/")
    root = directory / "usr/share/mediawiki"
    if not (root / "index.php").exists():
        unpack(directory)
    if not (root / "LocalSettings.php").exists():
        install(root, directory / "data", url, os.environ["WIKI_PASSWORD"])
    return 0


def unpack(directory: Path) -> None:
    """Download and unpack the packages, then point their absolute links into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        quiet = ["-qq", "-o", "APT::Sandbox::User=root"]
        subprocess.run(["apt-get", *quiet, "download", *PACKAGES], cwd=downloads, check=True)
        for package in sorted(Path(downloads).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(directory)], check=True)
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() and (target := str(path.readlink())).startswith("/"):
            path.unlink()
            path.symlink_to(directory / target.lstrip("/"))
    root = directory / "usr/share/mediawiki"
    for name in ("LocalSettings.php", "config", "extensions", "images"):
        (root / name).unlink(missing_ok=True)
    shutil.copytree(root / "extensions-core", root / "extensions")
    (root / "images").mkdir()


def install(root: Path, data: Path, url: str, password: str) -> None:
    """MediaWiki's own installer, two pages, and everything the web server's user must write opened to it."""
    data.mkdir(exist_ok=True)
    secret = data / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)  # a file: command lines are seen by everybody
    php(root, "maintenance/install.php", "--dbtype", "sqlite", "--dbpath", str(data), "--dbname", "wiki", "--server", url,
        "--scriptpath", "", "--passfile", str(secret), f"--with-extensions={','.join(EXTENSIONS)}", "Wiki", "admin")  # fmt: skip
    secret.unlink()
    with (root / "LocalSettings.php").open("a") as settings:
        settings.write(SETTINGS)
    php(root, "maintenance/edit.php", "-s", "first", "Notes", stdin="Some '''notes'''.\n")
    php(
        root,
        "maintenance/edit.php",
        "-s",
        "first",
        "Heavy",
        stdin="".join(PAGE.format(n) for n in range(12)) + "<references/>",
    )
    if os.geteuid() == 0:
        for path in (data, *data.iterdir(), root / "images"):
            path.chmod(0o777 if path.is_dir() else 0o666)


def php(root: Path, script: str, *arguments: str, stdin: str = "") -> None:
    """Run one of MediaWiki's maintenance scripts; what it says is shown when it fails."""
    done = subprocess.run(
        ["php", "-d", "memory_limit=512M", str(root / script), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
