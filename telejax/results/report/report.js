(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const texts = data.texts;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const of = (stats, at) => (stats == null ? null : typeof stats === "number" ? stats : stats[at] ?? null);

  // Numbers as the tables of the page write them.
  const digits = (value) => {
    const size = Math.abs(value);
    if (size && (size < 1e-4 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e");
    return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
  };
  const written = {
    percent: (value) => (100 * value).toFixed(1) + "%",
    bytes: (value) => {
      const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
      const place = Math.abs(value) < 1000 ? 0 : Math.min(6, Math.floor(Math.log10(Math.abs(value)) / 3));
      return digits(value / 1000 ** place) + " " + units[place];
    },
    count: (value) => value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 }),
    number: digits,
  };
  const labels = {
    percent: "format(datum.value, '.0%')",
    bytes: "datum.value === 0 ? '0' : format(datum.value, '~s') + 'B'",
    count: "format(datum.value, datum.value < 10000 ? ',~r' : '~s')",
    number:
      "datum.value === 0 ? '0' : abs(datum.value) < 1e-3 || abs(datum.value) >= 1e5 " +
      "? format(datum.value, '.0e') : format(datum.value, '~r')",
  };

  function element(name, attributes, text) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function setup(panel) {
    const figure = document.getElementById(panel.id);
    const control = (role) => figure.querySelector(`[data-role="${role}"]`);
    const chart = figure.querySelector(".chart");
    const details = figure.querySelector("details.data");
    const sizes = control("n");
    const xOf = () => panel.xs.find((one) => one.key === control("x").value);
    const yOf = () => panel.ys.find((one) => one.key === control("y").value);

    function values() {
      const boxes = [...figure.querySelectorAll('[data-role="line"]')];
      const shown = boxes.length ? new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value))) : null;
      const n = sizes ? Number(sizes.value) : null;
      const [x, y] = [xOf(), yOf()];
      return panel.rows
        .filter((row) => (!shown || shown.has(row.line)) && (n === null || row.n === n))
        .map((row) => ({
          line: row.line, name: data.lines[row.line] ?? "",
          x: of(row[x.key], 0), y: of(row[y.key], 0), low: of(row[y.key], 1), high: of(row[y.key], 2),
        }))
        .map((row) => (typeof row.low === "number" ? row : { ...row, low: row.y, high: row.y }))
        .filter((row) => row.x !== null && row.y !== null);
    }

    function proposeScales(which) {
      const rows = values();
      for (const [axis, option, ends] of [["x", xOf(), ["x"]], ["y", yOf(), ["y", "low"]]]) {
        if (which && which !== axis) continue;
        const positive = rows.every((row) => ends.every((end) => row[end] > 0 || (axis === "x" && row[end] === 0)));
        control("l" + axis).checked = option.log && positive && rows.length > 0;
      }
    }

    function scale(channel, option, logarithmic, ticks) {
      channel.title = option.label;
      channel.scale = { type: logarithmic ? "log" : "linear", ...(logarithmic ? {} : { zero: false }), nice: false, padding: ticks ? 14 : 6 };
      channel.axis = { labelExpr: labels[option.kind], tickCount: 6, labelOverlap: "greedy", labelSeparation: 6 };
      if (ticks) {
        channel.axis.values = ticks;
        if (option.kind === "count") channel.axis.labelExpr = "format(datum.value, ',')";
      }
    }

    function alternative(rows, x, y) {
      const ends = new Map();
      for (const row of rows) if (!ends.has(row.line) || ends.get(row.line).x <= row.x) ends.set(row.line, row);
      const told = [...ends.values()].map((row) => (row.name ? row.name + ": " : "") + written[y.kind](row.y));
      return fill(texts.chart_alt, { x: x.label, y: y.label, ends: told.join("; ") });
    }

    function table(rows, x, y) {
      const place = details.querySelector(".scroll");
      place.replaceChildren();
      if (!details.open) return;
      const made = element("table");
      made.append(element("caption", {}, fill(texts.data_caption, { x: x.label, y: y.label })));
      const named = rows.some((row) => row.name);
      const head = element("tr");
      const header = [...(named ? [texts.data_line] : []), x.label, texts.data_mean, texts.data_low, texts.data_high];
      for (const name of header) head.append(element("th", { scope: "col" }, name));
      const top = element("thead");
      top.append(head);
      const body = element("tbody");
      for (const row of rows) {
        const line = element("tr");
        const cells = [written[x.kind](row.x), ...[row.y, row.low, row.high].map((one) => written[y.kind](one))];
        if (named) line.append(element("th", { scope: "row" }, row.name));
        cells.forEach((one, at) => line.append(at || named ? element("td", {}, one) : element("th", { scope: "row" }, one)));
        body.append(line);
      }
      made.append(top, body);
      place.append(made);
    }

    let drawn = 0;
    async function draw() {
      const [x, y] = [xOf(), yOf()];
      const logX = control("lx").checked, logY = control("ly").checked;
      let rows = values();
      table(rows, x, y);
      rows = rows.filter((row) => (!logX || row.x > 0) && (!logY || row.y > 0));
      const least = Math.min(...rows.map((row) => (row.low > 0 ? row.low : row.y)));
      rows = rows.map((row) => ({
        ...row, low: logY && row.low <= 0 ? least : row.low,
        tx: x.label + ": " + written[x.kind](row.x), ty: y.label + ": " + written[y.kind](row.y),
        trange: written[y.kind](row.low) + " – " + written[y.kind](row.high),
      }));
      chart.setAttribute("aria-label", alternative(rows, x, y));
      const mine = ++drawn;
      if (!rows.length) {
        chart.replaceChildren(element("p", { class: "empty" }, texts.chart_empty));
        return;
      }
      const spec = structuredClone(data.specs[panel.whiskers ? "whiskers" : "along"]);
      const ticks = panel.ticks ? [...new Set(rows.map((row) => row.x))].sort((a, b) => a - b) : null;
      for (const layer of spec.layer) {
        scale(layer.encoding.x, x, logX, ticks);
        scale(layer.encoding.y, y, logY, null);
      }
      spec.data = { values: rows };
      spec.datasets = undefined;
      spec.height = chart.clientWidth < 500 ? 270 : 340;
      const many = new Set(rows.map((row) => row.line + "|" + row.x)).size > 60;
      if (many && !panel.whiskers) thin(spec, rows);
      spec.autosize = { type: "fit-x", contains: "padding" };
      spec.background = null;
      spec.config = {
        aria: false, font: "inherit", background: null, view: { stroke: null },
        axis: {
          labelColor: "var(--muted)", titleColor: "var(--text)", gridColor: "var(--grid)", domainColor: "var(--muted)",
          tickColor: "var(--muted)", labelFontSize: 12, titleFontSize: 13, titleFontWeight: 600, titlePadding: 10,
        },
      };
      const place = element("div");
      place.style.width = "100%";
      chart.append(place);
      const result = await window.vegaEmbed(place, spec, {
        renderer: "svg", actions: false, mode: "vega-lite", tooltip: tip,
      });
      if (mine !== drawn) {
        result.finalize();
        place.remove();
        return;
      }
      for (const old of [...chart.children]) if (old !== place) old.remove();
      // The chart is one image with a description, and its numbers are in a table: its parts have no roles of their own.
      for (const part of place.querySelectorAll("[role]")) part.removeAttribute("role");
      for (const part of place.querySelectorAll("[aria-roledescription]")) part.removeAttribute("aria-roledescription");
      place.querySelector("svg").setAttribute("aria-hidden", "true");
      chart.dataset.drawn = String(rows.length);
    }

    // A marker at every point of a long line hides it: a few keep apart what colours and dashes alone do not.
    function thin(spec, rows) {
      const counts = new Map();
      for (const row of rows) counts.set(row.line, (counts.get(row.line) || 0) + 1);
      const seen = new Map();
      for (const row of rows) {
        const at = seen.get(row.line) || 0;
        seen.set(row.line, at + 1);
        const every = Math.max(1, Math.ceil(counts.get(row.line) / 10));
        row.marked = (at + (row.line % 3)) % every === 0 || at === counts.get(row.line) - 1;
      }
      const size = spec.layer[2].encoding.size;
      size.value = undefined;
      spec.layer[2].encoding.size = {
        condition: [size.condition, { test: "datum.marked", value: 42 }].flat(), value: 0,
      };
    }

    figure.addEventListener("change", (event) => {
      const role = event.target.dataset.role;
      if (role === "x" || role === "y") proposeScales(role);
      draw();
    });
    details.addEventListener("toggle", () => table(values(), xOf(), yOf()));
    proposeScales();
    return draw();
  }

  // Near a marker Vega-Lite answers for it with a cell around it, whose datum is the marker and not yet the row.
  const bubble = element("div", { id: "tip", "aria-hidden": "true" });
  document.body.append(bubble);
  function tip(_, event, item, value) {
    const row = item && value != null ? (item.isVoronoi ? item.datum.datum : item.datum) : null;
    bubble.classList.toggle("visible", row != null);
    if (row == null) return;
    const range = row.low === row.high ? [] : [row.trange];
    const lines = [row.ty, ...range, row.tx].map((one) => element("span", {}, one));
    bubble.replaceChildren(...(row.name ? [element("b", {}, row.name)] : []), ...lines);
    const left = Math.min(event.clientX + 14, window.innerWidth - bubble.offsetWidth - 8);
    const below = event.clientY + 14 + bubble.offsetHeight < window.innerHeight;
    bubble.style.left = Math.max(8, left) + "px";
    bubble.style.top = (below ? event.clientY + 14 : event.clientY - bubble.offsetHeight - 10) + "px";
  }

  Promise.all(data.panels.map(setup)).then(() => { document.documentElement.dataset.ready = "yes"; });
})();
