"""Sessions by visitor that nobody ever removes. ``size``: things in the basket of each."""

import uuid

_sessions = {}


def use(size, number):
    basket = [{"product": f"p-{number}-{n}", "count": n} for n in range(size)]  # <- kept here: the basket
    _sessions[uuid.uuid4().hex] = basket  # <- kept here: the session
