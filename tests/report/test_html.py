import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from whybuy.errors import WorkspaceError
from whybuy.report import collect, render, write_report
from whybuy.report.html import MAX_BYTES, plotly_script

EVIL = "<script>alert(1)</script>"
EVIL_END = "</script><img src=x onerror=alert(1)>"
PLOTS = {
    "timeline",
    "comparison",
    "cloud",
    "funnel",
    "graph",
    "certificate",
    "training",
    "nuisance",
    "calibration",
    "campaigns",
    "uplift-0",
    "tenths-0",
    "budget-0",
    "choosing-0",
    "closed-loop",
    "lifecycle",
}


class Page(HTMLParser):
    """Elements, attributes and texts of a page, as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.scripts, self.ids = [], [], [], [], []
        self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attr) for attr in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        self._script = dict(attrs).get("type", "code") if tag == "script" else None

    def handle_data(self, data):
        if self._script is not None:
            self.scripts.append((self._script, data))
        else:
            self.texts.append(data)

    def handle_endtag(self, tag):
        self._script = None

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))


@pytest.fixture(scope="module")
def page(whole):
    return Page(render(whole))


def test_every_section_and_every_figure_is_there(page):
    assert {i.removeprefix("plot-") for i in page.ids if i.startswith("plot-")} == PLOTS
    sections = {
        "data",
        "comparison",
        "map",
        "graph",
        "effects",
        "model",
        "campaigns",
        "recommendations",
        "profiles",
        "limits",
    }
    assert sections <= set(page.ids)


def test_the_headline_in_words(page):
    assert "24,000 events of 3,612 users and 480 items, 2024-03-18 to 2024-04-17." in page.text
    assert re.search(r"Of \d+ questions with an answer, co-occurrence has the wrong sign in \d+", page.text)
    assert "The plainest case: view:books → purchase:bags, within 7 days." in page.text
    assert "24,912 rows read = 24,000 kept + 610 duplicates merged + 302 set aside" in page.text


def test_the_graph_and_the_second_opinion_in_words(page):
    assert re.search(r"of \d+ confirmed pairs \d+ have an effect", page.text)
    assert "No two arrows follow one another" in page.text
    assert "PC agrees on 1 of 2" in page.text
    assert "PC (causal-learn, 3,000 users): One random window per user: no hidden common cause" in page.text
    assert "×1.49 [1.35, 1.65]" in page.text
    assert "Where they differ, and why (1)" in page.text
    assert "Not compared" in page.text


def test_the_certificate_in_words(page, workspace, put):
    assert "the adjustment cannot be judged with so few pairs." in page.text
    # Errors of 19 pairs are .1 points, of one .9: root mean square .22, in standard errors of .4 points .56.
    assert "without effect200 95.0% [76.4, 99.1]0.56+0.1400.223.000" in page.text
    assert "30 pairs instead of 200." in page.text
    assert "Hidden confounding is not tested" in page.text
    stale = Page(render(collect(workspace, is_certified=False))).text
    assert "log, settings or code have changed since" in stale
    (workspace / "certificate" / "certificate.json").unlink()
    assert "Nobody has asked for a certificate yet" in Page(render(collect(workspace))).text


def test_paths_stand_with_what_is_missing(workspace, put, effect):
    chain = [
        effect("view:phones", "purchase:cases", naive=0.05, estimate=0.2, std_error=0.001),
        effect("purchase:cases", "purchase:bags", naive=0.05, estimate=0.1, std_error=0.001),
        effect("view:phones", "purchase:bags", naive=0.05, estimate=0.02, std_error=0.001),
    ]
    put(workspace / "confirm" / "effects.json", {"effects": chain})
    text = Page(render(collect(workspace))).text
    assert "view:phones → purchase:cases → purchase:bagsindirect, strong+2.00 pp [1.94, 2.06]" in text
    put(workspace / "confirm" / "effects.json", {"effects": chain[:2]})
    text = Page(render(collect(workspace))).text
    assert "possible+2.00 pp [1.94, 2.06]–The whole effect was not confirmed." in text


def test_a_refused_second_opinion_says_why_and_how_to_get_it(workspace, put):
    put(workspace / "report" / "second_opinion.json", {"refused": "causal-learn is not installed. It is needed here."})
    assert "Not in this report. causal-learn is not installed." in Page(render(collect(workspace))).text


def test_numbers_are_in_points_with_their_interval(page):
    assert "−2.1 pp [−2.7, −1.5]" in page.text
    assert "+2.6 pp [0.8, 4.4]" in page.text


def test_how_many_are_not_shown_is_said(page, whole):
    hidden = whole.effects.n_asked - len(whole.effects.top)
    assert f"{hidden} are not shown" in page.text


def test_links_lead_into_the_page_and_nothing_is_loaded(page):
    loads = [a for a in page.attributes if a[1] in ("src", "srcset", "data", "poster", "action", "background")]
    assert loads == []
    links = [value for _, name, value in page.attributes if name in ("href", "xlink:href")]
    assert all(link.startswith("#") for link in links)
    assert {link[1:] for link in links} <= set(page.ids)
    assert "link" not in page.tags
    assert not re.search(r"url\(|@import|https?:", "".join(page.texts))
    ours = [code for kind, code in page.scripts if code != plotly_script()]
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\(", "".join(ours))


def test_the_policy_allows_only_the_two_scripts(page):
    policy = next(v for _, name, v in page.attributes if name == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'none'" in policy
    code = [text for kind, text in page.scripts if kind == "code"]
    digests = [base64.b64encode(hashlib.sha256(c.encode()).digest()).decode() for c in code]
    assert re.findall(r"sha256-([^']+)", policy) == digests
    assert len(digests) == 2


def test_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))


def test_the_license_of_plotly_is_in_the_file():
    assert "MIT License" in plotly_script()[:400]
    assert "</script" not in plotly_script().lower()


def test_the_file_is_small_whole_and_alone(whole, tmp_path):
    path = write_report(whole, tmp_path / "new" / "report.html")
    assert 1_000_000 < path.stat().st_size < 2_000_000
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert list(path.parent.iterdir()) == [path]


def test_writing_again_gives_the_same_bytes(whole, tmp_path):
    first = write_report(whole, tmp_path / "report.html").read_bytes()
    assert write_report(whole, tmp_path / "report.html").read_bytes() == first


def test_a_place_that_cannot_be_written_is_said(whole, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"cannot be written .* a folder that can be written.*Name another place"):
        write_report(whole, tmp_path / "file" / "report.html")


@pytest.fixture
def hostile(workspace, put, effect):
    """A workspace in which everything that comes from the log tries to get out of its place."""
    quality = json.loads((workspace / "events" / "quality.json").read_text())
    quality |= {"rejected": {EVIL: 302}, "notes": [EVIL_END], "actions": {EVIL: 24_000}}
    put(workspace / "events" / "quality.json", quality)
    names = {"treatment": f"view:{EVIL}", "outcome": f"purchase:{EVIL_END}"}
    evil = effect(**names, naive=0.05, estimate=-0.02, reasons=[EVIL], meaning=EVIL_END, method="confirmed")
    evil["checks"] |= {EVIL: {EVIL_END: EVIL, "passed": False}}
    put(workspace / "confirm" / "effects.json", {"effects": [evil, {**evil, "funnel": True}]})
    item = {"item_id": "1", "title": EVIL, "category": EVIL_END, "rank": 1, "basis": EVIL, "reason": EVIL}
    samples = [{"user_id": u, "history": [EVIL], "items": [item]} for u in ('"><b>', "👟fan", "مستخدم", "\x00\ud800")]
    put(workspace / "recommend" / "samples.json", {"samples": samples})
    stages = {"stages": {EVIL: 3}, "examples": [{"user_id": EVIL, "summary": [EVIL_END]}]}
    put(workspace / "profile" / "summary.json", stages)
    campaigns = json.loads((workspace / "campaign" / "campaigns.json").read_text())
    campaigns["campaigns"][0] |= {"campaign": EVIL, "kind": EVIL, "reasons": [EVIL_END], "outcome": EVIL}
    campaigns["campaigns"][0]["policy"] |= {"decision": [EVIL_END], "rule": {"words": [EVIL], "is_told": True}}
    campaigns["campaigns"][0]["policy"]["compared"][0] |= {"policy": EVIL}
    campaigns["campaigns"][0]["uplift"] |= {"assumption": EVIL, "learner": EVIL_END}
    campaigns["campaigns"][1]["uplift"] |= {"refused": EVIL}
    campaigns["campaigns"][0]["segments"][0] |= {"attribute": EVIL, "value": EVIL_END}
    put(workspace / "campaign" / "campaigns.json", campaigns)
    return workspace


def test_nothing_from_the_log_gets_out_of_its_place(hostile, tmp_path):
    path = write_report(collect(hostile), tmp_path / "report.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.tags.count("script") == 2 + len(PLOTS)
    assert not {"img", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert page.text.count(EVIL) > 10
    assert "👟fan" in page.text
    assert "مستخدم" in page.text
    for kind, text in page.scripts:
        if kind == "application/json":
            assert "<" not in text
            assert "data" in json.loads(text)


def test_names_of_a_megabyte_leave_the_report_small(hostile, put, effect, tmp_path):
    long = "x" * 1_000_000
    pairs = [
        effect(f"search:query={long}{i}", f"purchase:{long}", naive=0.05, estimate=0.02, reasons=[long]) for i in (1, 2)
    ]
    put(hostile / "confirm" / "effects.json", {"effects": pairs})
    item = {"item_id": long, "title": long, "category": long, "rank": 1, "reason": long}
    put(hostile / "recommend" / "samples.json", {"samples": [{"user_id": long, "history": [long], "items": [item]}]})
    assert write_report(collect(hostile), tmp_path / "report.html").stat().st_size < 2_000_000


def test_twenty_thousand_effects_leave_the_report_small(workspace, put, effect, tmp_path):
    words = ("strong", "suggestive", "none", "cannot_tell")
    small = {"checks": {"grounds": {"effective_users": 1.0}}, "reasons": ["No grounds."], "also": []}
    pairs = [
        effect(f"view:c{i % 200}", f"purchase:c{i // 200}", naive=0.02, estimate=0.01, verdict=words[i % 4], **small)
        for i in range(20_000)
    ]
    put(workspace / "confirm" / "effects.json", {"effects": pairs})
    path = write_report(collect(workspace), tmp_path / "report.html")
    assert path.stat().st_size < 3_000_000 < MAX_BYTES
    text = Page(path.read_text(encoding="utf-8")).text
    assert "70 of 20,000 questions are listed; 19,930 are not shown." in text
    assert "24 of 200 behaviors and 12 of 100 outcomes" in text


def test_an_empty_workspace_gives_a_report_that_says_why(tmp_path):
    page = Page(render(collect(tmp_path)))
    assert page.text.count("Not in this report.") == 13
    assert "What this report cannot tell" in page.text
    assert page.tags.count("script") == 2


@pytest.mark.parametrize(
    "missing",
    [
        "events/quality.json",
        "events/shards/shard-00000.parquet",
        "model/training.json",
        "confirm/effects.json",
        "campaign/campaigns.json",
        "recommend/samples.json",
        "profile/summary.json",
        "report/second_opinion.json",
        "certificate/certificate.json",
        "truth.json",
    ],
)
def test_any_one_part_may_be_missing(workspace, missing):
    (workspace / missing).unlink()
    page = Page(render(collect(workspace)))
    assert ("Not in this report." in page.text) == (missing != "truth.json")


def test_a_log_too_thin_for_any_answer(workspace, put, effect):
    pairs = [effect("view:a", "purchase:*", naive=None, estimate=None, verdict="cannot_tell")]
    put(workspace / "confirm" / "effects.json", {"effects": pairs})
    page = Page(render(collect(workspace)))
    assert "No question of this log has an answer yet" in page.text
    assert "No pair has both a naive difference and an adjusted one" in page.text
