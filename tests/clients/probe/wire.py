"""Kafka's requests over a bare socket.

Encoding and decoding are kafka-python's, which carries every version of every message; nothing else of that client is
used, so that a request may be as odd as it likes.
"""

import socket
import struct

from kafka.protocol.api_header import ResponseClassRegistry
from kafka.protocol.api_message import ApiMessage
from kafka.protocol.metadata import ApiVersionsRequest

TIMEOUT_SECONDS = 15
CLOSED = "connection closed"


class Closed(Exception):
    """The broker closed the connection instead of an answer."""


class Connection:
    """One connection to a broker."""

    def __init__(self, bootstrap):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def encode(self, request, version, fields):
        """The frame of a request: `fields` is a dictionary, nested as the message is."""
        self.correlation_id += 1
        message = request(version=version, **_contents(request, fields))
        message.with_header(self.correlation_id, "probe")
        return bytes(message.encode(header=True, framed=True))

    def send(self, frame):
        try:
            self.socket.sendall(frame)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Closed from error

    def receive(self):
        """The next frame without its length."""
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, count):
        received = b""
        while len(received) < count:
            try:
                part = self.socket.recv(count - len(received))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            received += part
        return received

    def ask(self, request, version, fields):
        """Sends a request and returns the decoded answer."""
        self.send(self.encode(request, version, fields))
        return self.answer(request, version)

    def answer(self, request, version):
        """The decoded answer to a request that was sent."""
        frame = self.receive()
        (correlation_id,) = struct.unpack_from(">i", frame)
        if correlation_id != self.correlation_id:
            raise AssertionError(f"answer {correlation_id} to request {self.correlation_id}")
        response = ResponseClassRegistry._response_class_registry[request.API_KEY]
        # What kafka-python's own ApiVersionsResponse makes of an error, version 0, is right for one code only.
        decode = ApiMessage.decode.__func__
        flexible_header = response.flexible_version_q(version) and request.API_KEY != ApiVersionsRequest.API_KEY
        body = frame[5:] if flexible_header else frame[4:]
        decoded = decode(response, body, version=version)
        # The bytes are exactly the message, and nothing follows it.
        if bytes(decoded.encode()) != body:
            raise AssertionError(f"not as the protocol encodes it: {body.hex()}, but {bytes(decoded.encode()).hex()}")
        return decoded


def _contents(container, fields):
    """The fields with the dictionaries among them made into the message's own structs."""
    contents = {}
    for name, value in fields.items():
        field = container._struct.fields[name]
        if value is not None and field.is_struct_array():
            value = [field.data_class(**_contents(field.data_class, item)) for item in value]
        elif value is not None and field.is_struct():
            value = field.data_class(**_contents(field.data_class, value))
        contents[name] = value
    return contents
