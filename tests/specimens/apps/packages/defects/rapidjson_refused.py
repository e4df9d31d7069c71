"""Raw JSON made of something that is no text, which is refused."""

import rapidjson


def use(size):
    for number in range(size):
        try:
            rapidjson.RawJSON(number)  # <- kept here
        except TypeError:
            pass
