"""What the harness told this agent. Read once at boot: an application that clears its environment changes nothing."""

_PREFIX = "HARNESS_"
_values: "dict[str, str]" = {}


def load(source):
    """Remember the harness's own entries of a mapping such as ``os.environ``."""
    for key, value in source.items():
        if key.startswith(_PREFIX):
            _values[key] = value


def text(name):
    """The value of HARNESS_<name>, empty when there is none."""
    return _values.get(_PREFIX + name, "")
