"""``python -m tests.accuracy``: the study `tests.studies.accuracy`."""

from tests.studies.accuracy.__main__ import main

if __name__ == "__main__":
    main()
