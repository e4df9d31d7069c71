"""The size of a part of a message that was never set."""

from google.protobuf.type_pb2 import Type

_message = Type()


def use(size):
    for _ in range(size):
        _message.source_context.ByteSize()
