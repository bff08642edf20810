"""Where is the publisher, and did it work?"""

import os

URL = os.environ["CARILLON_PUBLISHER"]
KEY = os.environ["CARILLON_API_KEY"]
TENANT = os.environ["CARILLON_TENANT"]
UNIQUE = os.environ["CARILLON_UNIQUE"]
TYPE = f"generated.{UNIQUE}"


def check(name, body):
    """Prints `ok NAME` when the body gives a true value, else what it gave."""
    try:
        result = body()
        print(f"ok {name}" if result is True else f"FAIL {name}: {result!r}")
    except Exception as error:
        print(f"FAIL {name}: {type(error).__name__}: {str(error)[:300]!r}")
