"""What the scenario's section means, where its shape alone does not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.php.options import read_options
from harness.errors import UsageError
from harness.plugins.spec import AdapterContext


def context(secret: str) -> AdapterContext:
    options = {"xdebug": {"secret": secret, "output_dir": "/var/profiles"}}
    return AdapterContext(Path("/work"), "token", options, ("xdebug",), scenario_dir=Path("/here"))


@pytest.mark.parametrize("secret", ["0123456789abcdef", "a.b=c/d+e", "!#$%&'()*"])
def test_a_secret_that_a_cookie_can_carry(secret: str) -> None:
    deployed = read_options(context(secret)).xdebug
    assert deployed is not None
    assert deployed.secret == secret


@pytest.mark.parametrize("secret", ["a b", "a;b", "a,b", 'a"b', "a\\b", "caf\u00e9", "a\n", ""])
def test_a_secret_that_no_cookie_can_carry_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(UsageError, match="no cookie can carry") as caught:
        read_options(context(secret))
    assert not secret or secret not in str(caught.value)
