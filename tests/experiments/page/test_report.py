"""The page of results: that it is whole and needs nothing from outside, and how a browser shows it."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote

import matplotlib.image
import numpy as np
import pytest

from experiments.command import cli
from experiments.page import markup
from ttc_jax.records import jsonl
from ttc_jax.records.jsonl import Problem

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="how the page looks is seen in Chromium, which is not installed")
QUIET = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
DARK = "--blink-settings=preferredColorScheme=0"
SMALL = ["--num-tasks", "40", "--num-steps", "3", "--decoding-noise-std", "0.1", "--num-candidates", "1", "2"]
ODD = "a step & more"  # the name of a folder
PHONE = 390


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of three kinds: judged, with a warning and nothing judged, and recorded samples."""
    folder = tmp_path_factory.mktemp("page") / "results"
    assert cli.main(["run", "averaging", *SMALL, "--out", str(folder)]) == 0
    assert cli.main(["run", "chain-length", *SMALL, "--step-size", "0.6557", "--out", str(folder / "odd")]) == 0
    (folder / "odd" / "chain-length").rename(folder / ODD)
    rng = np.random.default_rng(0)
    draws = rng.random((30, 12)) < rng.beta(1.0, 2.0, (30, 1))
    problems = [Problem(place, gold="1", answers=tuple(flags.astype(int).astype(str))) for place, flags in enumerate(draws)]
    jsonl.write(folder / "mine.jsonl", problems)
    cli.main(["recorded", str(folder / "mine.jsonl"), "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


class Parts(HTMLParser):
    """What a page is made of: ids, references, and the parts of each section."""

    REFERENCES = ("src", "href", "srcset", "action", "data", "poster", "background", "xlink:href")

    def __init__(self, page):
        super().__init__()
        self.ids, self.references, self.sections, self.open = [], [], {}, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.references += [found[name] or "" for name in self.REFERENCES if name in found]
        if tag == "section":
            self.parts = self.sections.setdefault(found["id"], set())
        if not self.sections:
            return
        kind = found.get("class", "")
        self.parts |= {"question"} if kind == "question" else set()
        self.parts |= {"formula"} if tag == "img" and self.formula and found["alt"] else set()
        self.parts |= {"figure"} if tag == "img" and "figure" in self.open and found["alt"] else set()
        self.parts |= {"command"} if tag == "code" else set()
        self.parts |= {"download"} if found.get("href", "").startswith("data:application/x-netcdf;base64,") else set()
        self.parts |= {"timing"} if tag == "time" and re.fullmatch(r"PT[\d.]+S", found["datetime"]) else set()
        self.parts |= {"settings"} if tag == "details" and kind == "settings" else set()
        self.parts |= {"verdict"} if "verdict" in kind else set()
        self.parts |= {"way back"} if found.get("href") == "#/contents" else set()
        self.formula = tag == "div" and kind == "formula"

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass


PARTS = {"question", "formula", "figure", "command", "download", "timing", "settings", "verdict", "way back"}


def missing(page):
    """What some section lacks."""
    return set().union(*(PARTS - parts for parts in Parts(page).sections.values()))


def astray(page):
    """References that lead nowhere in the page, or out of it."""
    parts = Parts(page)
    ids = {f"#{name}" for name in parts.ids}
    held = [reference for reference in parts.references if unquote(reference) not in ids and not reference.startswith("data:")]
    return [*held, *re.findall(r"@import\b|url\(|\bimport\(|\bfetch\(", page)]


def test_every_section_has_all_its_parts(page):
    assert set(Parts(page).sections) == {"averaging", ODD, "mine"}
    assert missing(page) == set()


@pytest.mark.parametrize(
    ("edit", "lost"),
    [
        ("<p class=question>.*?</p>", "question"),
        ("<div class=formula>.*?</div>", "formula"),
        ("<figure.*?</figure>", "figure"),
        ("<pre>.*?</pre>", "command"),
        ("<a download.*?</a>", "download"),
        ("<time.*?</time>", "timing"),
        ("<details class=settings>.*?</details>", "settings"),
        ("<a class=screen.*?</a>", "way back"),
    ],
)
def test_a_lost_part_is_noticed(page, edit, lost):
    head, rest = page.split("<section", 1)
    section, others = rest.split("</section>", 1)
    assert missing(f"{head}<section{re.sub(edit, '', section, flags=re.DOTALL)}</section>{others}") == {lost}


def test_every_link_leads_somewhere_in_the_page(page):
    parts = Parts(page)
    assert len(parts.ids) == len(set(parts.ids))
    assert {"#averaging", "#a%20step%20%26%20more", "#mine"} <= set(parts.references)
    assert astray(page) == []
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "addition",
    [
        "<link rel=stylesheet href=https://example.org/a.css>",
        "<img src=figure.png>",
        "<a href='#nowhere'>there</a>",
        "<style>@import 'a.css'</style>",
        "<style>p { background: url(a.png) }</style>",
    ],
)
def test_references_that_lead_astray_are_noticed(page, addition):
    assert len(astray(page.replace("</main>", f"{addition}</main>"))) == 1


def test_the_head_sums_up_what_the_folders_say(page, folder):
    head = " ".join(re.sub(r"<[^>]*>", " ", page[page.index("<body>") : page.index("<main>")]).split())
    verdicts = {run.parent.name: json.loads(run.read_text()) for run in folder.glob("*/verdict.json")}
    total = sum(verdict["wall_time_s"] for verdict in verdicts.values())
    assert f"3 studies: {len(verdicts)} inconclusive . Measured in {markup.duration(total)}." in head
    for name, verdict in verdicts.items():
        z = f"{verdict['largest_z']:.2f} / {verdict['threshold']:.2f}" if verdict["num_points"] else "nothing judged"
        row = f"{verdict['question']} {verdict['outcome']} {z} {markup.duration(verdict['wall_time_s'])}"
        assert f"{name.replace('&', '&amp;')} {row}" in head


def test_figures_are_told_in_words(page):
    told = re.search(r"alt='Figure of averaging: ([^']*)'", page)[1]
    number = r"[\d.e+-]+"
    ends = f"measured from {number} to {number}, predicted from {number} to {number}"
    assert re.fullmatch(f"{ends}; over label_noise_std from 0.1 to 0.5, num_candidates from 1 to 2", told)


# How it looks. A copy of the page measures itself in a frame of a given width, and sends what it found.
MEASURE = """
for (const one of document.querySelectorAll("details")) one.open = true;
const scrolls = (kind) => [...document.querySelectorAll(kind)].filter((one) => one.scrollWidth > one.clientWidth).length;
const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
  && !one.closest(".scroll, .formula, dialog"));
send({
  width: innerWidth,
  across: document.documentElement.scrollWidth,
  wide: wide.map((one) => one.tagName),
  blank: [...document.images].filter((one) => !one.complete || one.naturalWidth === 0 || one.clientWidth < 100).length,
  images: document.images.length,
  scrolling: {tables: scrolls(".scroll"), formulas: scrolls(".formula")},
  saves: [...document.querySelectorAll("a[data-figure]")].map((one) => [one.href.slice(0, 19), one.clientHeight >= 0
    && one.getClientRects().length]),
});
"""
# Four ways to close what a click opens; what Esc does is "requestClose". A figure is seen at what width, before and in it?
ZOOM = """
const zoom = document.querySelector("dialog"), link = document.querySelector("figure a"), stage = zoom.querySelector("div");
// The page's clock runs ahead of the browser, which goes back in its own time: work, so that time passes for both.
const settled = async () => {
  for (let i = 0; i < 100 && (zoom.open || history.state); i++) {
    for (let j = 0; j < 1e7; j++);
    await new Promise((done) => setTimeout(done, 10));
  }
};
const ways = {
  escape: () => zoom.requestClose(),
  click: () => stage.click(),
  button: () => zoom.querySelector("button:not([type])").click(),
  back: () => history.back(),
};
const found = {page: link.querySelector("img").clientWidth, opened: {}, closed: {}, entries: []};
for (const [name, close] of Object.entries(ways)) {
  link.click();
  const image = stage.querySelector("img");
  found.opened[name] = zoom.matches(":modal") && image.naturalWidth > 0 && image.clientWidth;
  if (name === "escape" && image) {
    found.title = zoom.querySelector("span").textContent;
    found.focus = document.activeElement === stage;
    const press = (key) => stage.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
    press("+");
    found.larger = image.clientWidth;
    press("0");
    found.fits = image.clientWidth <= stage.clientWidth && image.clientHeight <= stage.clientHeight;
  }
  close();
  await settled();
  found.closed[name] = !zoom.open && stage.getClientRects().length === 0;
  found.entries.push(history.state);
}
send(found);
"""
FRAMED = """<!doctype html><body style="margin: 0">{frames}<pre id=found></pre><script>
const found = {{}};
addEventListener("message", ({{data: [name, values]}}) => {{
  found[name] = values;
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script>"""


def browser(folder, target, *flags):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *QUIET.split(), *flags]
    profile = f"--user-data-dir={folder / 'profile'}"
    return subprocess.run([*command, profile, target.as_uri()], capture_output=True, text=True, timeout=60, check=True)


def scripted(page, script):
    """A copy of a page with a script of a test, which the policy of the page would not let run."""
    allowed = re.sub(r"script-src 'sha256-[^']*'", "script-src 'unsafe-inline'", page)
    assert allowed != page
    return allowed.replace("</body>", f"<script>{script}</script></body>")


def measured(folder, pages, script, height=800):
    """What copies of pages say of themselves, each in a frame of its width; and what the console says."""
    frames = ""
    for name, (page, width) in pages.items():
        send = f"const send = (values) => parent.postMessage(['{name}', values], '*');"
        when = f"addEventListener('load', async () => {{ {send} {script} }});"
        (folder / f"{name}.html").write_text(scripted(page, when))
        frames += f"<iframe src='{name}.html' style='border: 0; width: {width}px; height: {height}px'></iframe>"
    harness = folder / "frames.html"
    harness.write_text(FRAMED.format(frames=frames))
    seen = browser(folder, harness, "--dump-dom", "--virtual-time-budget=10000", "--enable-logging=stderr")
    found = json.loads(html.unescape(re.search(r"<pre id=.found.>(.*?)</pre>", seen.stdout, re.DOTALL)[1]))
    assert set(found) == set(pages)
    return found, [line for line in seen.stderr.splitlines() if "CONSOLE" in line]


def picture(folder, page, *flags, size="1280,1500"):
    """Lightness of the pixels of a page, from 0 to 1."""
    copy, shot = folder / "shown.html", folder / "shown.png"
    copy.write_text(page)
    browser(folder, copy, f"--screenshot={shot}", f"--window-size={size}", *flags)
    return matplotlib.image.imread(shot)[..., :3].mean(axis=-1)


def test_the_policy_allows_the_script_of_the_page_alone(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r"Content-Security-Policy content=\"([^\"]*)\"", page)[1]
    assert re.search(r"script-src ([^;]*)", policy)[1] == f"'sha256-{digest}'"


@needs_browser
def test_nothing_is_wider_than_a_phone_and_everything_is_loaded(page, tmp_path):
    found, said = measured(tmp_path, {"phone": (page, PHONE), "desk": (page, 1280)}, MEASURE)
    assert said == []
    for name, width in (("phone", PHONE), ("desk", 1280)):
        seen = found[name]
        assert seen["width"] == width
        assert seen["across"] <= width, seen["wide"]
        assert seen["wide"] == []
        assert seen["blank"] == 0
        assert seen["images"] == 2 * 3
        assert seen["saves"] == [["data:image/svg+xml;", 1]] * 3
    assert found["phone"]["scrolling"]["tables"] >= 1
    assert found["phone"]["scrolling"]["formulas"] == 2
    assert found["desk"]["scrolling"] == {"tables": 0, "formulas": 0}


@needs_browser
def test_what_is_too_wide_or_not_loaded_is_noticed(page, tmp_path):
    faults = {
        "wide": "<p style='width: 500px'>wide</p>",
        "blank": "<img src='data:image/svg+xml,nonsense' width=200 height=20>",
        "outside": "<img src='http://localhost:9/none.png' width=200 height=20>",
    }
    pages = {name: (page.replace("</main>", f"{fault}</main>"), PHONE) for name, fault in faults.items()}
    found, said = measured(tmp_path, pages, MEASURE)
    assert found["wide"]["across"] > PHONE
    assert found["wide"]["wide"] == ["P"]
    assert found["blank"]["blank"] == found["outside"]["blank"] == 1
    assert found["outside"]["across"] == PHONE
    (line,) = said  # the page's own rule does not let the picture be asked for
    assert "Content Security Policy" in line


@needs_browser
def test_a_figure_opens_large_and_closes_in_four_ways(page, tmp_path):
    found, said = measured(tmp_path, {"zoom": (page, PHONE)}, ZOOM)
    seen = found["zoom"]
    assert said == []
    assert seen["title"].startswith("Figure 1. a step & more: ")
    assert seen["focus"]
    assert all(width > 1.5 * seen["page"] for width in seen["opened"].values()), seen
    assert seen["larger"] == pytest.approx(1.25 * seen["opened"]["escape"], abs=1)
    assert seen["fits"]
    assert seen["closed"] == dict.fromkeys(("escape", "click", "button", "back"), True)
    assert seen["entries"] == [None] * 4  # none of the ways leaves an entry behind that "back" would have to pass


@needs_browser
def test_a_zoom_that_does_nothing_is_noticed(page, tmp_path):
    without = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    found, _ = measured(tmp_path, {"zoom": (without, PHONE)}, ZOOM.replace('zoom.matches(":modal")', "zoom.open"))
    assert not any(found["zoom"]["opened"].values())


@needs_browser
def test_light_and_dark(page, tmp_path):
    light, dark = picture(tmp_path, page), picture(tmp_path, page, DARK)
    assert light[5, 5] > 0.9
    assert dark[5, 5] < 0.15
    for seen in (light, dark):
        assert np.median(seen) == seen[5, 5]
        letters = np.abs(seen - seen[5, 5]) > 0.5
        assert 0.003 < letters.mean() < 0.1
    # Neither formula nor figure lies on a ground of its own.
    assert (dark > 0.5).mean() < 0.1


@needs_browser
def test_a_white_ground_in_the_dark_is_noticed(page, tmp_path):
    parts = {"formula": ".formula", "figure": "figure"}
    for part, selector in parts.items():
        alone = scripted(page, f"document.body.replaceChildren(document.querySelector('{selector}'))")
        white = alone.replace("mix-blend-mode: screen", "mix-blend-mode: normal").replace(
            "filter: invert(1)", "filter: invert(0)"
        )
        share = [(picture(tmp_path, one, DARK, size="600,300") > 0.5).mean() for one in (alone, white)]
        assert share[0] < 0.05, part
        assert share[1] > 0.05, part
