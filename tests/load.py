"""A load on an HTTP server: `python load.py PORT REQUESTS_PER_S CONNECTIONS`, until its standard input ends.

Each connection sends its share at even intervals and catches up when it is late; after REQUESTS_PER_CONNECTION it is
closed and opened anew. In the end it prints one JSON object: "failed" lists requests that were not answered as they
had to be, "requests" [start, latency] of the others, seconds on CLOCK_MONOTONIC, which all processes share, "answers"
what these were, byte by byte but for the date: one if all were the same.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from dataclasses import dataclass, field

TIMEOUT_S = 10.0
REQUESTS_PER_CONNECTION = 100
PATH = "/8"
ANSWER = b"21"


@dataclass
class Load:
    """What all connections do and have seen."""

    port: int
    interval_s: float
    ended: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answers: set[str] = field(default_factory=set)

    def run(self, first_due: float) -> None:
        """Sends requests over one connection after the other until the end."""
        due = first_due
        while not self.ended.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
            for _ in range(REQUESTS_PER_CONNECTION):
                if self.ended.wait(max(due - time.monotonic(), 0)):
                    break
                due += self.interval_s
                self.send(connection)
            connection.close()

    def send(self, connection: http.client.HTTPConnection) -> None:
        """One request."""
        started = time.monotonic()
        try:
            connection.request("GET", PATH)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            connection.close()
            return
        if (response.status, body) == (http.HTTPStatus.OK, ANSWER):
            self.requests.append((started, time.monotonic() - started))
            self.answers.add(repr((response.version, response.reason, undated(response), body)))
        else:
            self.failures.append(f"{response.status} {body!r}")


def undated(response: http.client.HTTPResponse) -> list[tuple[str, str]]:
    """The headers, in their order, without the one that changes by the second."""
    return [header for header in response.getheaders() if header[0].lower() != "date"]


def main(port: int, requests_per_s: int, connections: int) -> None:
    """Loads the server until nobody writes to our stdin any more."""
    load = Load(port, connections / requests_per_s)
    started = time.monotonic()
    # Spread over one interval, so that they do not come in bursts.
    dues = [started + index / requests_per_s for index in range(connections)]
    threads = [threading.Thread(target=load.run, args=(due,)) for due in dues]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    load.ended.set()
    for thread in threads:
        thread.join()
    json.dump({"failed": load.failures, "requests": load.requests, "answers": sorted(load.answers)}, sys.stdout)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
