"""The loop that runs a client's cases, and the talk with the harness.

A client program is started as `PROGRAM HOST:PORT [CASE...]`. It first prints a line that names its cases. Then it runs
the cases named on its command line, or, without any, the cases it reads from standard input, one name a line. Each
case gives one line: {"case": NAME, "ok": true or false, "detail": ...}.

A case that needs the broker restarted prints {"hook": "restart"} and goes on when it has read a line.
"""

import json
import os
import sys
import time
import traceback

DEADLINE_SECONDS = 40
"""How long a case waits for something that must happen."""


class Suite:
    """The cases of one client."""

    def __init__(self, client):
        self.client = client
        self.cases = {}

    def case(self, function):
        """Registers `function` as a case under its own name."""
        self.cases[function.__name__] = function
        return function

    def case_for_each(self, values):
        """Registers a function of (context, value) as one case per value, named `function_value`."""

        def register(function):
            for value in values:
                self.cases[f"{function.__name__}_{value}"] = lambda context, value=value: function(context, value)
            return function

        return register

    def main(self):
        """Runs what the command line or standard input asks for, then exits."""
        bootstrap, *names = sys.argv[1:]
        # Only result lines may reach standard output, whatever a library prints.
        self.out, sys.stdout = sys.stdout, sys.stderr
        run = os.environ.get("MILLRACE_TEST_RUN") or f"{os.getpid()}-{int(time.time())}"
        self._emit({"client": self.client, "cases": list(self.cases)})
        passed = True
        for name in names or map(str.strip, iter(sys.stdin.readline, "")):
            passed = self._run(bootstrap, run, name) and passed
        sys.exit(0 if passed else 1)

    def _run(self, bootstrap, run, name):
        try:
            detail, ok = self.cases[name](Context(self, bootstrap, run, name)), True
        except Exception:  # Whatever a client raises is the outcome of its case.
            detail, ok = traceback.format_exc(), False
        self._emit({"case": name, "ok": ok, "detail": detail})
        return ok

    def _emit(self, line):
        print(json.dumps(line), file=self.out, flush=True)


class Context:
    """What a case knows: the broker's address, and names that no other case or run uses."""

    def __init__(self, suite, bootstrap, run, case):
        self.suite = suite
        self.bootstrap = bootstrap
        self.name = f"{suite.client}.{case}.{run}"

    def restart_broker(self):
        """Has the broker restarted; returns when it answers again, with the seconds that it took."""
        start = time.monotonic()
        self.suite._emit({"hook": "restart"})
        if not sys.stdin.readline():
            raise RuntimeError("nobody restarted the broker")
        return time.monotonic() - start


def now_ms():
    """The wall clock in milliseconds since the Unix epoch."""
    return int(time.time() * 1000)


def equal(actual, expected, what):
    """Fails the case unless both are equal."""
    if actual != expected:
        raise AssertionError(f"{what}: got {clip(actual)}, want {clip(expected)}")


def clip(value, length=600):
    """The text of a value, cut to a length that fits into a report."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"


class Deadline:
    """Loops `while deadline.open("what")`, failing the case when the time is up."""

    def __init__(self, seconds=DEADLINE_SECONDS):
        self.end = time.monotonic() + seconds

    def open(self, what, state=""):
        if time.monotonic() > self.end:
            raise TimeoutError(f"timed out waiting for {what} {clip(state) if state else ''}")
        return True
