"""Make the site that django-admin.yaml runs: the project Django itself generates, its admin, a user and some groups.

Usage: python prepare_django_admin.py DIRECTORY      (needs Django; ADMIN_PASSWORD in the environment)

Nothing in the application is ours; this only does what Django's tutorial does by hand, and turns DEBUG off.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = """
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
STATIC_ROOT = BASE_DIR / "static"
# Two workers write: take SQLite's write lock at the start of a transaction, so that waiting works.
DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
"""
CONTENT = """
import os
from django.contrib.auth.models import Group, User
User.objects.filter(username="admin").exists() or User.objects.create_superuser("admin", "", os.environ["ADMIN_PASSWORD"])
for number in range(300):
    Group.objects.get_or_create(name=f"group {number}")
"""


def main() -> int:
    """Create the site unless it is there already."""
    if len(sys.argv) != 2 or "ADMIN_PASSWORD" not in os.environ:
        sys.stderr.write(__doc__ or "")
        return 2
    directory = Path(sys.argv[1])
    if not (directory / "manage.py").exists():
        directory.mkdir(parents=True, exist_ok=True)
        run("-m", "django", "startproject", "site_project", str(directory))
        with (directory / "site_project" / "settings.py").open("a") as settings:
            settings.write(SETTINGS)
    run("manage.py", "migrate", "--verbosity", "0", cwd=directory)
    run("manage.py", "shell", "--verbosity", "0", "--command", CONTENT, cwd=directory)
    return 0


def run(*arguments: str, cwd: Path | None = None) -> None:
    """One Python command that must succeed."""
    subprocess.run([sys.executable, *arguments], cwd=cwd, check=True)


if __name__ == "__main__":
    sys.exit(main())
