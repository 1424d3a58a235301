"""A process of the service: it asks for every report, several times, and prints what failed."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.questions import LIVE, questions
from tests.support.service import NOW, ask, create_app


def main(url: str, times: int) -> None:
    """Answers are not kept, so that each is a statement; two are under way at a time."""
    app = create_app(DATABASE_URL=url, REPORTS=LIVE, CACHE_SECONDS=0)

    def answer(question: tuple[str, Any]) -> tuple[int, Any]:
        given = ask(app.test_client(), *question)
        return given.status_code, given.get_json()

    with ThreadPoolExecutor(2) as callers:
        rounds = [list(callers.map(answer, questions(NOW))) for _ in range(times)]
    failed = [given for answers in rounds for given in answers if given[0] != 200]
    same = all(answers == rounds[0] for answers in rounds)
    json.dump({"failed": failed, "first": rounds[0], "same": same}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
