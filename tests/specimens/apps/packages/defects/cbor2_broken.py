"""Messages in CBOR, with a string inside of a nested map that is not UTF-8."""

import cbor2

_broken = b"\xbf\x01\xa1\x02\x64\xff\xfe\xfd\xfc\xff"


def use(size):
    for _ in range(size):
        try:
            cbor2.loads(_broken)  # <- kept here
        except cbor2.CBORDecodeError:
            pass
