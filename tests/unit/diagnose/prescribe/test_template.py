"""Texts with numbers in them."""

from __future__ import annotations

import pytest
import yaml

from harness.diagnose.prescribe.language import LanguageError
from harness.diagnose.prescribe.template import parse_template
from harness.diagnose.prescribe.vocabulary import kind_of

KNOWN = {
    "glibc_held_bytes": 350.0 * 1024**2,
    "glibc_arenas": 17.0,
    "held_share": 0.333,
    "cold_start_s": 0.0825,
    "gc_pause_ns": 3.5e7,
    "growth_bytes_per_request": 1536.0,
    "endpoint": "GET /\x1b[31m$(reboot)\n'x'",
    "recycling_table": "one\ntwo",
    "vm.swappiness": 60,
    "thp.enabled": "always",
    "workers": 4,
}


def rendered(text: str, *, quoted: bool = False) -> str | None:
    return parse_template(text, kind_of, quoted=quoted).render(KNOWN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{glibc_held_bytes} in {glibc_arenas} arenas", "350.0 MiB in 17 arenas"),
        ("{held_share} after {cold_start_s} and {gc_pause_ns}", "33 % after 82.5 ms and 35.0 ms"),
        ("{growth_bytes_per_request}", "1.5 KiB"),
        ("{2 * glibc_held_bytes:bytes}, {glibc_held_bytes:mib}M, {glibc_held_bytes + 1:mib}M", "700.0 MiB, 350M, 351M"),
        ("{glibc_held_bytes / 3:kib}", "119467"),
        ("{workers / 3:floor} {workers / 3:ceil} {workers / 3:count}", "1 2 1.3"),
        ("{{a: {workers}}}", "{a: 4}"),
        ("{vm.swappiness} {thp.enabled}", "60 always"),
        ("{recycling_table}", "one\ntwo"),
    ],
)
def test_rendering(text: str, expected: str) -> None:
    assert rendered(text) == expected


def test_one_unknown_number_makes_the_text_untold() -> None:
    assert rendered("{glibc_held_bytes} and {swapped_out_bytes}") is None
    assert parse_template("{workers} {2 * held_share:percent}", kind_of).names == ("workers", "held_share")


def test_hostile_names_stay_on_one_line_and_are_quoted_in_commands() -> None:
    shown = rendered("Look at {endpoint}.")
    assert shown is not None
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert rendered("grep {endpoint:sh} log", quoted=True) == "grep 'GET / [31m$(reboot) '\"'\"'x'\"'\"'' log"
    fragment = rendered("profile: {{endpoints: [{endpoint:yaml}]}}", quoted=True)
    assert fragment is not None
    assert yaml.safe_load(fragment) == {"profile": {"endpoints": ["GET / [31m$(reboot) 'x'"]}}
    long = parse_template("{endpoint}", kind_of).render({"endpoint": "x" * 1000})
    assert long is not None
    assert len(long) == 200


@pytest.mark.parametrize(
    ("text", "quoted", "said"),
    [
        ("{", False, "stands alone"), ("a } b", False, "stands alone"), ("{}", False, "something is missing"),
        ("{nope}", False, "'nope' does not exist"), ("{glibc_held_byte}", False, "did you mean 'glibc_held_bytes'"),
        ("{workers:miles}", False, "no way to write it"), ("{workers + 1}", False, "say after a colon"),
        ("{endpoint:bytes}", False, "cannot be written as"), ("{workers:sh}", False, "cannot be written as"),
        ("{launched}", False, "yes or no"), ("{endpoint}", True, "is quoted"), ("{endpoint:text}", True, "is quoted"),
        ("{thp.enabled}", True, "is quoted"), ("{file.name}", False, "names with a dot begin with"),
        ("x" * 5000, False, "longer than"),
    ],
)  # fmt: skip
def test_mistakes(text: str, quoted: bool, said: str) -> None:
    with pytest.raises(LanguageError) as caught:
        parse_template(text, kind_of, quoted=quoted)
    assert said in str(caught.value)
