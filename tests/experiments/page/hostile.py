"""Results whose texts would run in a browser, and whether a page lets them."""

import json
from html.parser import HTMLParser

from experiments.page import reading
from tests.experiments.page.made import rewritten

HOSTILE = "'\"><img src=x onerror=alert(1)><script>alert(1)</script>\x1b[31m"


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, [name for name, _ in attributes]))


def runs_foreign_code(page):
    """Whether a page has a tag or an attribute that a value of the results has brought in."""
    tags = Tags(page).found
    scripts = sum(tag == "script" for tag, _ in tags)
    return scripts != 1 or any(name.startswith("on") for _, names in tags for name in names)


def with_hostile_texts(folder):
    """Hostile texts wherever a text is allowed."""
    data = reading.read(folder)
    config = {**json.loads(data.attrs["config"]), HOSTILE: HOSTILE}
    hostile = json.dumps({HOSTILE: HOSTILE})
    texts = {"config": json.dumps(config), "versions": hostile, "execution": hostile, "device": HOSTILE, "reference": HOSTILE}
    data = data.assign_attrs(texts, warnings=json.dumps([HOSTILE, "x" * 3_000_000]))
    values = data["num_candidates"].to_numpy().astype(str).astype(object)
    values[0] = HOSTILE
    terms = {
        "predicted_" + HOSTILE.replace("/", ""): data["predicted"],
        "wrong_" + HOSTILE.replace("/", ""): data["predicted"] + 1,
    }
    rewritten(folder, data.assign(terms).assign(num_tries=("kind", values)))
    return folder.rename(folder.with_name(HOSTILE.replace("/", "")))
