"use strict";
(() => {
  const KEPT_S = 120;
  const byId = (id) => document.getElementById(id);
  const points = [];
  let said = "";
  const made = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const drawn = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const number = (value) => Number(value).toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
  const ms = (value) => (value < 1000 ? `${number(value)} ms` : `${number(value / 1000)} s`);
  const rate = (value) => `${number(value)}/s`;
  const share = (value) => `${number(100 * value)} %`;
  const span = (s) => (s < 120 ? `${Math.max(0, Math.round(s))} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`);

  const tile = (label, value, note, tone) => {
    const box = made("div", undefined, "tile");
    box.append(made("dt", label), made("dd", value, `value${tone ? ` tone-${tone}` : ""}`), made("dd", note, "note"));
    return box;
  };
  const tiles = (live) => {
    const left = Object.entries(live.left);
    const all = [
      tile("Rate", rate(live.rate), `planned ${rate(live.planned_rate)}`),
      tile("Latency p99", ms(live.p99_ms), `p50 ${ms(live.p50_ms)}, p95 ${ms(live.p95_ms)}`),
      tile("Errors", `${live.errors ? "✗ " : ""}${number(live.errors)}`, `${share(live.error_rate)} of the last seconds; ${number(live.failed)} in all`, live.errors ? "bad" : ""),
      tile("Late p99", ms(live.lateness_p99_ms), "of the harness itself"),
      tile("Requests", number(live.sent), `${number(live.iterations)} whole iterations`),
    ];
    if (live.users || live.senders > 1) all.push(tile("Users", number(live.users), `${number(live.senders)} sender${live.senders === 1 ? "" : "s"}`));
    if (left.length) all.push(tile("Budget left", left[0][1], [left[0][0], ...left.slice(1).map(([name, value]) => `${name} ${value}`)].join("; ")));
    byId("tiles").replaceChildren(...all);
  };

  const CHARTS = [
    ["Requests a second", rate, [["sent", "main", (p) => p.rate], ["planned", "plan", (p) => p.planned_rate]]],
    ["Latency", ms, [["p50", "main", (p) => p.p50_ms], ["p99", "tail", (p) => p.p99_ms]]],
    ["Errors of the last seconds", share, [["errors", "tail", (p) => p.error_rate]]],
    ["Late p99", ms, [["late", "main", (p) => p.lateness_p99_ms]]],
  ];
  const key = (name, kind, value) => {
    const box = made("span", undefined, "key");
    const svg = drawn("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" });
    svg.append(drawn("path", { class: kind, d: "M0 5H28" }));
    box.append(svg, `${name} ${value}`);
    return box;
  };
  const chart = ([title, say, lines]) => {
    const last = points[points.length - 1];
    const from = Math.max(points[0].t_s, last.t_s - KEPT_S);
    const width = Math.max(last.t_s - from, 1);
    const top = Math.max(...lines.flatMap(([, , get]) => points.map(get)), 1e-9);
    const figure = made("figure");
    const caption = made("figcaption", title);
    const svg = drawn("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${lines.map(([name, , get]) => `${name} ${say(get(last))}`).join(", ")}` });
    for (const [name, kind, get] of lines) {
      caption.append(key(name, kind, say(get(last))));
      const d = points.map((p) => `${((1000 * (p.t_s - from)) / width).toFixed(1)} ${(98 - (96 * get(p)) / top).toFixed(1)}`);
      svg.append(drawn("path", { class: kind, d: `M${d.join("L")}` }));
    }
    const axis = made("div", undefined, "axis");
    axis.setAttribute("aria-hidden", "true");
    axis.append(made("span", span(from)), made("span", `up to ${say(top)}`), made("span", span(last.t_s)));
    figure.append(caption, svg, axis);
    return figure;
  };

  const row = (name, cells, tone) => {
    const line = made("tr");
    const head = made("th", `${tone === "bad" ? "✗ " : ""}${name}`, tone ? `tone-${tone}` : "");
    head.scope = "row";
    line.append(head, ...cells.map((text) => made("td", text, "num")));
    return line;
  };
  const steps = (all) => {
    if (!all.length) return;
    byId("steps").replaceChildren(...all.map((s) => {
      const failed = Object.entries(s.failed).filter(([, n]) => n);
      const told = failed.map(([why, n]) => `${number(n)} ${why}`).join(", ") || "0";
      return row(s.name, [number(s.sent), told, ms(s.p50_ms), ms(s.p99_ms)], failed.length ? "bad" : "");
    }));
  };
  const rails = (all) => {
    byId("rails-part").hidden = !all.length;
    byId("rails").replaceChildren(...all.map((g) => row(g.name, [g.last, g.worst, g.limit], g.broken ? "bad" : "")));
  };

  // Said only when it changes: a screen reader must not be talked to twice a second.
  const say = (text) => {
    if (text !== said) byId("state").textContent = said = text;
  };
  const show = (told) => {
    const { run, live } = told;
    if (run) {
      document.title = `${run.scenario} · load run`;
      byId("name").textContent = run.scenario;
      byId("where").textContent = `Run ${run.id} at ${run.target}`;
    }
    if (!live) return;
    points.push(live);
    while (points.length && points[0].t_s < live.t_s - KEPT_S) points.shift();
    if (points.length > 1 && points[points.length - 2].t_s > live.t_s) points.splice(0, points.length - 1);
  };
  const draw = (live) => {
    const broken = live.guardrails.filter((g) => g.broken).map((g) => g.name);
    say(broken.length ? `A guardrail is broken: ${broken.join(", ")}.` : live.warming_up ? "Warming up: nothing is counted yet." : live.errors ? "Sending, with errors." : "Sending.");
    byId("progress").style.width = `${Math.min(100, (100 * Math.max(live.t_s, 0)) / Math.max(live.span_s, 0.001))}%`;
    tiles(live);
    byId("charts").replaceChildren(...CHARTS.map(chart));
    rails(live.guardrails);
  };

  let newest = null;
  const source = new EventSource("events");
  source.onopen = () => points.splice(0);
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    show(told);
    if (!told.live) return;
    if (!newest) requestAnimationFrame(() => { draw(newest); newest = null; });
    newest = told.live;
  };
  source.addEventListener("steps", (event) => steps(JSON.parse(event.data)));
  source.addEventListener("end", () => {
    source.close();
    say("The run has ended; its report is in its folder.");
  });
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) say("The run does not answer; trying again.");
  };
})();
