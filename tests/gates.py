"""``python -m tests.gates``: the study `tests.studies.gates`."""

from tests.studies.gates.__main__ import main

if __name__ == "__main__":
    main()
