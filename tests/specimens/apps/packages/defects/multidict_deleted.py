"""Forms whose fields are taken out one by one."""

from multidict import MultiDict


def use(size):
    for _ in range(size):
        form = MultiDict((f"field-{number}", "a value") for number in range(20))  # <- kept here
        for number in range(20):
            del form[f"field-{number}"]
