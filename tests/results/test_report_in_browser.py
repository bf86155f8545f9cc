"""The report in a real browser, without a network: no error, all charts drawn, and every choice draws another."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from report_history import CONFIG, history

from telejax.results.report.page import render
from telejax.results.report.subject import of_comparison
from telejax.results.report.words import Words

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; apt-get install chromium brings it"),
]
LIMIT = 3_000_000  # bytes

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
FLAGS += ("--disable-component-update", "--disable-sync", "--virtual-time-budget=60000", "--dump-dom")

RECORD = """<script>
window.problems = [];
window.addEventListener("error", (event) => window.problems.push(String(event.message)));
window.addEventListener("unhandledrejection", (event) => window.problems.push(String(event.reason)));
for (const kind of ["error", "warn"]) console[kind] = (...told) => window.problems.push(kind + ": " + told.join(" "));
</script>"""

TRY = """<script>
(async () => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  for (let tries = 0; tries < 200 && !document.documentElement.dataset.ready; tries++) await wait(20);
  const first = document.querySelectorAll(".chart svg").length, drawn = [];
  for (const figure of document.querySelectorAll("figure")) {
    figure.querySelector("details").open = true;
    for (const control of figure.querySelectorAll("select, input")) {
      const values = control.options ? [...control.options].map((one) => one.value) : [true, false, true];
      for (const value of values) {
        if (control.options) control.value = value;
        else control.checked = value;
        control.dispatchEvent(new Event("change", { bubbles: true }));
        await wait(40);
        drawn.push(figure.querySelectorAll(".chart svg").length + figure.querySelectorAll(".chart .empty").length);
      }
    }
  }
  const rows = [...document.querySelectorAll("figure details table")].map((one) => one.rows.length);
  const marks = document.querySelectorAll(".chart svg .mark-line path").length;
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const tips = [];
  for (const figure of document.querySelectorAll("figure")) {
    const under = figure.querySelector(".chart svg [class*=voronoi] path");
    const where = under.getBoundingClientRect();
    const at = { bubbles: true, clientX: where.x + where.width / 2, clientY: where.y + where.height / 2 };
    for (const kind of ["pointerover", "pointermove", "mousemove"]) under.dispatchEvent(new PointerEvent(kind, at));
    await wait(60);
    const tip = document.getElementById("tip");
    tips.push(tip.classList.contains("visible") ? tip.innerText : "");
  }
  const report = { tips, problems: window.problems, first, drawn, rows, marks, wide };
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify(report);
  document.body.append(told);
})();
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_browser_draws_every_chart_without_an_error(language: str, tmp_path: Path) -> None:
    grown = pl.concat(history(nodes=pl.lit(nodes), time=pl.col("round") * nodes * 0.5) for nodes in (25, 100, 350))
    subject = of_comparison(grown, {**CONFIG, "nodes": [25, 100, 350]})
    text = render(subject, Words(language))
    assert len(text.encode()) < LIMIT
    head, _, body = text.partition("<head>")
    page, _, end = body.rpartition("</body>")  # vega-embed has such words, too
    tried = f"{head}<head>{RECORD}{page}{TRY}</body>{end}"
    (tmp_path / "report.html").write_text(tried, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=390,844"]
    done = subprocess.run([*command, f"file://{tmp_path}/report.html"], capture_output=True, text=True, timeout=180)
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    report = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    figures = text.count("<figure")
    assert report["problems"] == []
    assert report["first"] == figures == 4
    assert report["drawn"] and set(report["drawn"]) == {1}
    assert len(report["rows"]) == figures and min(report["rows"]) > 1
    assert all(re.fullmatch(r"[ab]\n.+: .+\n(.+ – .+\n)?.+: .+", tip) for tip in report["tips"]), report["tips"]
    assert report["marks"] > 0 and report["wide"] <= 0
