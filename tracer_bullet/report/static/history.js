"use strict";
// Steps through the runs. One layout holds for all of them; all text goes in through textContent.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SIGNS = { came: "+", went: "−" }, PAUSE_MS = 2000;
  const frame = document.getElementById("history");
  const stage = frame.querySelector(".stage");
  const data = JSON.parse(document.getElementById("tb-history").textContent);
  const make = (tag, attributes, parent, text) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
  const short = (text) => {
    const all = Array.from(text);
    return all.length > 28 ? [...all.slice(0, 9), "…", ...all.slice(-18)].join("") : text;
  };

  // ---- one layout of everything that was ever there
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  const wide = stage.clientWidth > 700;
  graph.setGraph({ rankdir: wide ? "LR" : "TB", nodesep: 28, edgesep: 12, ranksep: 70, marginx: 24, marginy: 24 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of data.nodes) {
    const widest = Math.max(pen.measureText(short(node.name)).width, pen.measureText(node.kind).width);
    graph.setNode(node.key, { width: Math.max(90, Math.ceil(widest) + 28), height: 46 });
  }
  for (const edge of data.edges) graph.setEdge(edge.source, edge.target, {}, edge.key);
  dagre.layout(graph);
  const { width, height } = data.nodes.length ? graph.graph() : { width: 0, height: 0 };
  const svg = make("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Architecture" }, stage);
  const tips = make("defs", {}, svg);
  for (const tone of ["line", "came", "went"]) {
    const tip = make("marker", { id: `tip-${tone}`, viewBox: "0 0 10 10", refX: 9, refY: 5, markerUnits: "userSpaceOnUse", markerWidth: 10, markerHeight: 10, orient: "auto-start-reverse" }, tips);
    make("path", { d: "M0 0L10 5L0 10Z", class: `tip ${tone}` }, tip);
  }
  const badge = (group, x, y) => {
    const mark = make("g", { class: "badge", transform: `translate(${x} ${y})` }, group);
    make("circle", { r: 10 }, mark);
    return make("text", { y: 5 }, mark);
  };
  const parts = [];
  for (const edge of data.edges) {
    const { points } = graph.edge({ v: edge.source, w: edge.target, name: edge.key });
    const group = make("g", { class: "edge", "data-key": edge.key }, svg);
    const title = make("title", {}, group);
    const path = make("path", { d: points.map((p, i) => `${i ? "L" : "M"}${p.x} ${p.y}`).join("") }, group);
    const middle = points[Math.floor(points.length / 2)];
    parts.push({ item: edge, group, title, path, sign: badge(group, middle.x, middle.y) });
  }
  for (const node of data.nodes) {
    const at = graph.node(node.key);
    const group = make("g", { class: "node", "data-key": node.key, transform: `translate(${at.x} ${at.y})` }, svg);
    const title = make("title", {}, group);
    make("rect", { class: "box", x: -at.width / 2, y: -at.height / 2, width: at.width, height: at.height, rx: 9 }, group);
    make("text", { y: -2 }, group, short(node.name));
    make("text", { y: 14, class: "kind" }, group, node.kind);
    parts.push({ item: node, group, title, sign: badge(group, at.width / 2 - 2, -at.height / 2 + 2) });
  }

  stage.scrollLeft = (stage.scrollWidth - stage.clientWidth) / 2;
  // Scrolls only when nothing of what changed can be seen.
  const reveal = () => {
    const area = stage.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll(".is-came, .is-went")].map((e) => e.getBoundingClientRect());
    const seen = (b) => b.right > area.left && b.left < area.right && b.bottom > area.top && b.top < area.bottom;
    if (!boxes.length || boxes.some(seen)) return;
    const [box] = boxes;
    stage.scrollLeft += (box.left + box.right - area.left - area.right) / 2;
    stage.scrollTop += (box.top + box.bottom - area.top - area.bottom) / 2;
  };

  // ---- steps
  const slider = frame.querySelector("input");
  const play = frame.querySelector('[data-do="play"]');
  const now = frame.querySelector(".now");
  const last = data.steps.length - 1;
  let step = 0, timer = null;
  const show = (wanted) => {
    step = Math.max(0, Math.min(last, wanted));
    for (const { item, group, title, path, sign } of parts) {
      const state = item.states[step];
      group.setAttribute("class", `${item.source ? "edge" : "node"}${item.source && item.kind ? " later" : ""} is-${state}`);
      group.setAttribute("data-state", state);
      title.textContent = [item.name, state, item.notes[step]].filter(Boolean).join(": ");
      sign.textContent = SIGNS[state] || "";
      if (path) path.setAttribute("marker-end", `url(#tip-${state === "there" ? "line" : state})`);
    }
    const { name, at, said } = data.steps[step];
    const bold = document.createElement("b"), rest = document.createElement("span");
    bold.textContent = `Run ${step + 1} of ${last + 1}: ${name}`;
    rest.textContent = ` · ${at}`;
    now.replaceChildren(bold, rest, document.createElement("br"), said);
    slider.value = step + 1;
    slider.setAttribute("aria-valuetext", `${step + 1} of ${last + 1}, ${name}`);
    svg.setAttribute("aria-label", `Architecture in run ${name}: ${said}`);
    frame.dataset.step = step + 1;
    reveal();
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "Play";
    now.setAttribute("aria-live", "polite");
  };
  const start = () => {
    if (!last) return;
    if (step === last) show(0);
    play.setAttribute("aria-pressed", "true");
    play.textContent = "Pause";
    now.setAttribute("aria-live", "off"); // a film is not read out
    timer = setInterval(() => { show(step + 1); if (step === last) stop(); }, PAUSE_MS);
  };
  const go = (wanted) => { stop(); show(wanted); };
  const actions = {
    first: () => go(0), back: () => go(step - 1), next: () => go(step + 1), last: () => go(last),
    play: () => (timer === null ? start() : stop()),
  };
  frame.addEventListener("click", (event) => {
    const action = event.target.closest("button")?.dataset.do;
    if (action) actions[action]();
  });
  slider.addEventListener("input", () => go(Number(slider.value) - 1));
  const keys = { ArrowLeft: "back", ArrowRight: "next", Home: "first", End: "last", p: "play", P: "play" };
  document.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target === slider && action !== "play") return;
    event.preventDefault();
    actions[action]();
  });
  show(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) start();
})();
