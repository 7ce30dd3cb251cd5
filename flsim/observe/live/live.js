"use strict";
(() => {
  const EVERY_MS = 500;
  const MOST_POINTS = 4000; // of a curve; of more, every second one goes
  const NEWEST = 10;
  const SILENT_S = 30;
  const at = (name) => document.getElementById(name);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const charts = { accuracy: "accuracy-plot", loss: "loss-plot" };
  let run = "", last = -1, newest = [], stopped = false;
  let curves = { accuracy: [], loss: [] };

  const shown = (value, digits = 4) => (value === null || value === undefined ? "–" : Number(value.toPrecision(digits)).toString());
  function seconds(value) {
    const [unit, size] = value < 120 ? ["s", 1] : value < 7200 ? ["min", 60] : value < 172800 ? ["h", 3600] : ["d", 86400];
    return `${shown(value / size)} ${unit}`;
  }
  function bytes(value) {
    let power = 0;
    for (; value >= 1000 && power < 5; power++) value /= 1000;
    return `${shown(value)} ${["B", "kB", "MB", "GB", "TB", "PB"][power]}`;
  }
  const put = (name, text) => { if (at(name).textContent !== text) at(name).textContent = text; };

  function draw(name) {
    const style = getComputedStyle(document.documentElement);
    const colour = (variable) => style.getPropertyValue(variable).trim();
    const points = curves[name];
    const axis = { gridcolor: colour("--grid"), zerolinecolor: colour("--grid"), linecolor: colour("--line"), automargin: true };
    const trace = {
      type: "scatter", mode: points.length > 200 ? "lines" : "lines+markers", x: points.map((point) => point[0]),
      y: points.map((point) => point[1]), line: { color: colour("--blue"), width: 2 }, marker: { size: 5 },
      hovertemplate: `%{x:.4g} s: %{y:.4g}<extra></extra>`,
    };
    return Plotly.react(at(charts[name]), [trace], {
      height: 300, autosize: true, margin: { l: 56, r: 14, t: 10, b: 44 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
      font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily },
      xaxis: { ...axis, title: { text: "virtual time (s)" } }, yaxis: { ...axis, title: { text: name } },
    }, { responsive: true, displayModeBar: false });
  }

  function take(rows, columns) {
    const place = Object.fromEntries(columns.map((column, index) => [column, index]));
    for (const row of rows) {
      last = row[place.version];
      for (const name of Object.keys(curves)) {
        if (row[place[name]] !== null) curves[name].push([row[place.time_s], row[place[name]]]);
      }
    }
    newest = [...newest, ...rows.slice(-NEWEST)].slice(-NEWEST);
    for (const name of Object.keys(curves)) {
      while (curves[name].length > MOST_POINTS) {
        const points = curves[name];
        curves[name] = points.filter((_, index) => (points.length - 1 - index) % 2 === 0);
      }
      const points = curves[name];
      if (points.length) put(name, shown(points[points.length - 1][1]));
      draw(name);
    }
    at("newest").replaceChildren(...newest.slice().reverse().map((row) => {
      const line = document.createElement("tr");
      const texts = [String(row[place.version]), seconds(row[place.time_s]), String(row[place.tasks]),
        shown(row[place.mean_staleness]), shown(row[place.accuracy]), shown(row[place.loss])];
      line.replaceChildren(...texts.map((text, index) => {
        const cell = document.createElement(index ? "td" : "th");
        if (!index) cell.scope = "row";
        cell.textContent = text;
        return cell;
      }));
      return line;
    }));
    if (last >= 0) put("version", String(last));
  }

  function forget(name) {
    run = name; last = -1; newest = []; curves = { accuracy: [], loss: [] };
    for (const tile of ["now", "version", "accuracy", "loss", "in_flight", "down", "up"]) put(tile, "–");
    at("newest").replaceChildren();
  }

  function show(said) {
    // A run has another name once it is read from its tables: they say all of it once more.
    if (said.run !== run) forget(said.run);
    if (said.versions.length) take(said.versions, said.columns);
    const { standing } = said;
    if (standing.ended) {
      put("now", seconds(standing.now_s));
      put("in_flight", String(standing.in_flight));
      put("down", bytes(standing.bytes_down));
      put("up", bytes(standing.bytes_up));
      for (const [outcome, count] of Object.entries(standing.ended)) put(`ended-${outcome}`, String(count));
    }
    put("state", said.state);
    const silent = said.silent_s > SILENT_S ? ` It has said nothing for ${seconds(said.silent_s)}.` : "";
    put("status", {
      starting: "The run has not begun, or it was killed.",
      running: `The run goes on.${silent}`,
      finished: `The run has ended: ${said.ended}.`,
    }[said.state]);
    at("report").hidden = said.state !== "finished";
  }

  async function look() {
    try {
      const answer = await fetch(`progress.json?of=${encodeURIComponent(run)}&after=${last}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      show(await answer.json());
    } catch {
      put("state", "unknown");
      put("status", "flsim ui does not answer any more. This page shows what it said last.");
      stopped = true;
    }
    setTimeout(look, stopped ? 10 * EVERY_MS : EVERY_MS);
    stopped = false;
  }
  dark.addEventListener("change", () => Object.keys(charts).forEach(draw));
  Object.keys(charts).forEach(draw);
  look();
})();
