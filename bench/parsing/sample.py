"""Profiles to read: a PHP program is generated, and run under Xdebug's profiler. Needs php and Xdebug, nothing else.

The program has the shape of a page of a large application, for which Xdebug writes 200 MB: some thousand functions in files of
their own, a few calls written in each, pages that render sections that go through their parts again and again.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from pathlib import Path

LAYERS, WIDTH, FILES = 13, 370, 40
LOOP_LAYER = 5
ENTRIES = 20
_INTERNAL = (
    "strlen($s)", "str_repeat($s, 3)", "md5($s)", "count(self::$kept)", "strtoupper($s)", "substr($s, 1)", "is_string($s)",
    "array_keys([1, 2])", "in_array(3, [1, 2])", "sprintf('%s', $s)",
)  # fmt: skip


def _class(number: int) -> str:
    return f"Site\\Part{number % FILES:02d}\\Renderer"


def _function(number: int, dice: random.Random) -> str:
    layer = number // WIDTH
    lines = [f"    public static function step{number:04d}(string $s): string", "    {"]
    if dice.random() < 0.1:
        lines.append("        self::$kept[] = str_repeat($s, 40);")
    lines += [f"        {dice.choice(_INTERNAL)};" for _ in range(dice.choice([0, 1, 2]))]
    if layer < LAYERS - 1:
        callees = [(layer + 1) * WIDTH + dice.randrange(WIDTH) for _ in range(dice.choice([1, 2, 2, 3]))]
        loop = layer == LOOP_LAYER
        if loop:
            lines.append("        for ($i = 0; $i < self::LOOPS; $i++) {")
        lines += [f"        \\{_class(callee)}::step{callee:04d}($s);" for callee in callees]
        if loop:
            lines.append("        }")
    lines += ["        return $s;", "    }", ""]
    return "\n".join(lines)


def write_program(directory: Path, loops: int) -> Path:
    """The program; its argument is the number of pages, and each section goes through its parts ``loops`` times."""
    dice = random.Random(1)
    functions: list[list[str]] = [[] for _ in range(FILES)]
    for number in range(LAYERS * WIDTH):
        functions[number % FILES].append(_function(number, dice))
    main = ["<?php"]
    for number, own in enumerate(functions):
        name = f"Part{number:02d}.php"
        space = f"<?php\nnamespace Site\\Part{number:02d};\n\n"
        head = f"{space}class Renderer\n{{\n    const LOOPS = {loops};\n    public static array $kept = [];\n\n"
        (directory / name).write_text(head + "\n".join(own) + "}\n")
        main.append(f"require __DIR__ . '/{name}';")
    main.append("for ($page = 0; $page < (int) $argv[1]; $page++) {")
    main += [f"    if ($page % {ENTRIES} == {n}) \\{_class(n * 18)}::step{n * 18:04d}('page');" for n in range(ENTRIES)]
    main.append("}")
    program = directory / "main.php"
    program.write_text("\n".join(main) + "\n")
    return program


def make(profile: Path, pages: int, loops: int) -> None:
    """Write a profile of so many pages, about 10 MB each with 9 loops. Raises RuntimeError without PHP and Xdebug."""
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as scratch:
        program = write_program(Path(scratch), loops)
        settings = {
            "zend_extension": "xdebug", "xdebug.mode": "profile", "xdebug.start_with_request": "yes", "xdebug.log_level": "0",
            "xdebug.use_compression": "0", "xdebug.output_dir": scratch, "xdebug.profiler_output_name": "profile",
            "memory_limit": "-1",
        }  # fmt: skip
        argv = ["php", "-n", *(f"-d{name}={value}" for name, value in settings.items()), str(program), str(pages)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise RuntimeError("the sample is written by PHP under Xdebug: apt install php-cli php-xdebug") from None
        written = Path(scratch, "profile")
        if done.returncode or not written.exists():
            raise RuntimeError(f"PHP wrote no profile; is Xdebug there? {(done.stderr or done.stdout).strip()[-500:]}")
        profile.write_bytes(written.read_bytes())
