"""Attributes of the application's modules and classes that were replaced, so that they can be put back."""

_ABSENT = object()


class Patches:
    """What one owner has replaced."""

    def __init__(self):
        self._done: "list[tuple[object, str, object, object]]" = []

    def put(self, owner, name, new):
        """Set an attribute and remember what was there."""
        old = vars(owner).get(name, _ABSENT)  # an inherited one is not the owner's own
        setattr(owner, name, new)
        self._done.append((owner, name, old, new))

    def restore(self):
        """Put everything back, last first; where somebody has replaced ours since, theirs stays and goes on calling ours."""
        while self._done:
            owner, name, old, new = self._done.pop()
            try:
                if vars(owner).get(name) is not new:
                    continue
                if old is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, old)
            except Exception:
                pass


_of_the_agent = Patches()  # for as long as the agent is in the process
put = _of_the_agent.put
restore = _of_the_agent.restore
