"use strict";
// Draws the service map from the page's JSON block. All text goes in through textContent.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const frame = document.getElementById("map");
  const data = JSON.parse(document.getElementById("tb-map").textContent);
  if (!frame || !data.nodes.length || typeof dagre === "undefined") return;

  const MAX_HEIGHT = 760, MIN_SCALE = 0.72, MAX_SCALE = 2.5, NAME_CHARS = 28;
  const dense = data.edges.length > 30;
  const make = (tag, attributes = {}, parent = null, text = null) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const pen = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  const measure = (text, font) => { pen.font = `${font} ${family}`; return pen.measureText(text).width; };
  const short = (text) => {  // from the middle: what tells names apart is mostly at their end
    const all = Array.from(text);
    return all.length > NAME_CHARS ? [...all.slice(0, 9), "…", ...all.slice(10 - NAME_CHARS)].join("") : text;
  };

  // ---- sizes and layout
  for (const node of data.nodes) {
    node.lines = [[short(node.name), "name", "600 13px"], [node.sub, "sub", "11px"]];
    if (node.alert) node.lines.push([`▲ ${node.alert}`, "alert", "650 11px"]);
    const widest = Math.max(...node.lines.map(([text, , font]) => measure(text, font)));
    const side = { third_party: 40, queue: 44, harness: 44 }[node.kind] || 28;
    node.width = Math.max(84, Math.ceil(widest) + side);
    node.height = 14 + 16 * node.lines.length + (node.kind === "store" ? 12 : 0);
  }
  for (const edge of data.edges) {
    edge.lines = [[edge.label, ""]];
    if (edge.writes) edge.lines.push([`⟲ ${short(edge.writes)}`, "write"]);
    if (edge.alert) edge.lines.push([`▲ ${edge.alert}`, "alert"]);
    edge.labelWidth = Math.ceil(Math.max(...edge.lines.map(([text]) => measure(text, "650 11px")))) + 10;
    edge.labelHeight = 14 * edge.lines.length + 5;
  }
  const layOut = (direction) => {
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    const flat = direction === "LR";
    graph.setGraph({ rankdir: direction, nodesep: dense ? 16 : 26, edgesep: dense ? 8 : 14, ranksep: dense ? 100 : flat ? 34 : 36, marginx: 18, marginy: 18 });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const node of data.nodes) graph.setNode(node.key, { width: node.width, height: node.height });
    for (const edge of data.edges) {
      const room = dense ? {} : { width: edge.labelWidth, height: edge.labelHeight, labelpos: "c" };
      graph.setEdge(edge.source, edge.target, room, edge.key);
    }
    dagre.layout(graph);
    return graph;
  };
  const fitScale = (graph, width) => Math.min(1.15, width / graph.graph().width, MAX_HEIGHT / graph.graph().height);
  const choose = () => {
    const width = frame.clientWidth;
    const flat = layOut("LR"), tall = layOut("TB");
    return fitScale(flat, width) >= 0.9 * fitScale(tall, width) ? flat : tall;
  };

  // ---- shapes, one for each kind of node
  const shapePath = (kind, w, h) => {
    const x = w / 2, y = h / 2, r = 9, lid = 7;
    switch (kind) {
      case "store":
        return `M${-x} ${-y + lid}A${x} ${lid} 0 0 1 ${x} ${-y + lid}V${y - lid}A${x} ${lid} 0 0 1 ${-x} ${y - lid}ZM${-x} ${-y + lid}A${x} ${lid} 0 0 0 ${x} ${-y + lid}`;
      case "queue":
        return `M${-x + lid} ${-y}H${x - lid}A${lid} ${y} 0 0 1 ${x - lid} ${y}H${-x + lid}A${lid} ${y} 0 0 1 ${-x + lid} ${-y}ZM${x - lid} ${-y}A${lid} ${y} 0 0 0 ${x - lid} ${y}`;
      case "third_party":
        return `M${-x} 0L${-x + 14} ${-y}H${x - 14}L${x} 0L${x - 14} ${y}H${-x + 14}Z`;
      default: {
        const round = kind === "harness" ? y : kind === "peer" ? 2 : r;
        return `M${-x + round} ${-y}H${x - round}A${round} ${round} 0 0 1 ${x} ${-y + round}V${y - round}A${round} ${round} 0 0 1 ${x - round} ${y}H${-x + round}A${round} ${round} 0 0 1 ${-x} ${y - round}V${-y + round}A${round} ${round} 0 0 1 ${-x + round} ${-y}Z`;
      }
    }
  };
  // Lines leave and enter in the middle of a side and run along the layout's direction at every bend.
  const route = (graph, edge, points) => {
    if (edge.source === edge.target) return points;
    const flat = graph.graph().rankdir === "LR";
    const from = graph.node(edge.source), to = graph.node(edge.target);
    const ahead = flat ? Math.sign(to.x - from.x) : Math.sign(to.y - from.y);
    if (!ahead) return points;
    const side = (node, sign) => (flat ? { x: node.x + (sign * node.width) / 2, y: node.y } : { x: node.x, y: node.y + (sign * node.height) / 2 });
    return [side(from, ahead), ...points.slice(1, -1), side(to, -ahead)];
  };
  const linePath = (points, flat) => {
    let path = `M${points[0].x} ${points[0].y}`;
    for (let i = 1; i < points.length; i++) {
      const a = points[i - 1], b = points[i], x = (a.x + b.x) / 2, y = (a.y + b.y) / 2;
      path += flat ? `C${x} ${a.y} ${x} ${b.y} ${b.x} ${b.y}` : `C${a.x} ${y} ${b.x} ${y} ${b.x} ${b.y}`;
    }
    return path;
  };

  // ---- drawing
  const svg = make("svg", { class: `canvas${dense ? " dense" : ""}`, role: "group", "aria-label": "Service map" });
  const tips = make("defs", {}, svg);
  for (const tone of ["line", "bad", "warn"]) {
    const size = tone === "line" ? 9 : 12;
    const tip = make("marker", { id: `tip-${tone}`, viewBox: "0 0 10 10", refX: 9, refY: 5, markerUnits: "userSpaceOnUse", markerWidth: size, markerHeight: size, orient: "auto-start-reverse" }, tips);
    make("path", { d: "M0 0L10 5L0 10Z", class: `tip-${tone}` }, tip);
  }
  const view = make("g", {}, svg);
  const edgeLayer = make("g", {}, view), nodeLayer = make("g", {}, view), labelLayer = make("g", {}, view);
  const items = new Map();
  const button = (layer, item, classes, aria) => {
    const group = make("g", { class: classes, tabindex: 0, role: "button", "aria-pressed": "false", "aria-label": aria, "data-key": item.key }, layer);
    items.set(item.key, { item, group, box: null });
    return group;
  };
  const drawEdge = (graph, edge) => {
    const placed = graph.edge({ v: edge.source, w: edge.target, name: edge.key });
    const tone = edge.tone === "bad" || edge.tone === "warn" ? edge.tone : "line";
    const group = button(edgeLayer, edge, `edge ${edge.tone}${edge.later ? " later" : ""}`, edge.aria);
    const path = linePath(route(graph, edge, placed.points), graph.graph().rankdir === "LR");
    make("path", { d: path, class: "hit" }, group);
    const line = make("path", { d: path, class: "line", "marker-end": `url(#tip-${tone})` }, group);
    const middle = dense || placed.x === undefined ? line.getPointAtLength(line.getTotalLength() / 2) : placed;
    items.get(edge.key).box = { x: middle.x, y: middle.y, width: edge.labelWidth, height: edge.labelHeight };
    const label = make("g", { class: "label", transform: `translate(${middle.x} ${middle.y})`, "data-key": edge.key, "aria-hidden": "true" }, labelLayer);
    make("rect", { x: -edge.labelWidth / 2, y: -edge.labelHeight / 2, width: edge.labelWidth, height: edge.labelHeight, rx: 5 }, label);
    edge.lines.forEach(([text, kind], i) => make("text", { class: kind, y: -edge.labelHeight / 2 + 13 + 14 * i }, label, text));
    items.get(edge.key).label = label;
    if (dense && edge.alert) make("path", { class: "flag", d: `M${middle.x} ${middle.y - 8}l9 15h-18z` }, group);
  };
  const drawNode = (graph, node) => {
    const placed = graph.node(node.key);
    const group = button(nodeLayer, node, `node ${node.kind} ${node.tone}`, node.aria);
    group.setAttribute("transform", `translate(${placed.x} ${placed.y})`);
    items.get(node.key).box = { x: placed.x, y: placed.y, width: node.width, height: node.height };
    make("title", {}, group, node.name);
    make("rect", { class: "ring", x: -node.width / 2 - 5, y: -node.height / 2 - 5, width: node.width + 10, height: node.height + 10, rx: 12 }, group);
    make("path", { class: "shape", d: shapePath(node.kind, node.width, node.height) }, group);
    const top = -(16 * node.lines.length) / 2 + 12 + (node.kind === "store" ? 5 : 0);
    node.lines.forEach(([text, kind], i) => make("text", { class: kind, y: top + 16 * i }, group, text));
  };

  // ---- view: pan and zoom
  let opened = null;
  const look = { x: 0, y: 0, k: 1 };
  let bounds = { width: 1, height: 1 };
  const apply = () => view.setAttribute("transform", `translate(${look.x} ${look.y}) scale(${look.k})`);
  const zoom = (factor, cx = svg.clientWidth / 2, cy = svg.clientHeight / 2) => {
    const k = Math.min(MAX_SCALE, Math.max(0.15, look.k * factor));
    look.x = cx - ((cx - look.x) * k) / look.k;
    look.y = cy - ((cy - look.y) * k) / look.k;
    look.k = k;
    apply();
  };
  const fit = (floor) => {
    const width = frame.clientWidth;
    look.k = Math.max(floor, Math.min(1.15, width / bounds.width, MAX_HEIGHT / bounds.height));
    svg.setAttribute("height", Math.round(Math.min(MAX_HEIGHT, Math.max(260, bounds.height * look.k))));
    const height = Number(svg.getAttribute("height"));
    const first = items.get(data.nodes[0].key).box;
    look.x = bounds.width * look.k <= width ? (width - bounds.width * look.k) / 2 : Math.min(0, Math.max(width - bounds.width * look.k, width / 4 - first.x * look.k));
    look.y = bounds.height * look.k <= height ? (height - bounds.height * look.k) / 2 : Math.min(0, Math.max(height - bounds.height * look.k, height / 2 - first.y * look.k));
    apply();
  };
  const reveal = (box) => {
    const panel = opened === null ? null : document.getElementById(`p-${opened}`);
    const taken = panel && getComputedStyle(panel).position === "absolute" ? panel.offsetWidth + 12 : 0;
    const x = box.x * look.k + look.x, y = box.y * look.k + look.y;
    const dx = (box.width / 2) * look.k + 12, dy = (box.height / 2) * look.k + 12;
    look.x += Math.max(0, dx - x) - Math.max(0, x + dx - svg.clientWidth + taken);
    look.y += Math.max(0, dy - y) - Math.max(0, y + dy - svg.clientHeight);
    apply();
  };

  // ---- choosing
  const mark = (key, name, on) => {
    const found = items.get(key);
    found.group.classList.toggle(name, on);
    if (found.label) found.label.classList.toggle(name, on);
  };
  const near = (key) => {
    const { item } = items.get(key);
    if (item.source) return [item.source, item.target];
    const edges = data.edges.filter((e) => e.source === key || e.target === key);
    return edges.flatMap((e) => [e.key, e.source, e.target]).filter((other) => other !== key);
  };
  const union = (boxes) => {
    const edge = (axis, size, sign) => Math.max(...boxes.map((box) => sign * box[axis] + box[size] / 2));
    const [left, right, top, bottom] = [-edge("x", "width", -1), edge("x", "width", 1), -edge("y", "height", -1), edge("y", "height", 1)];
    return { x: (left + right) / 2, y: (top + bottom) / 2, width: right - left, height: bottom - top };
  };
  const close = () => {
    if (opened === null) return;
    mark(opened, "is-open", false);
    items.get(opened).group.setAttribute("aria-pressed", "false");
    near(opened).forEach((key) => mark(key, "is-near", false));
    document.getElementById(`p-${opened}`).classList.remove("is-open");
    svg.classList.remove("has-open");
    opened = null;
  };
  const open = (key) => {
    const again = key === opened;
    close();
    if (again) return;
    opened = key;
    mark(key, "is-open", true);
    items.get(key).group.setAttribute("aria-pressed", "true");
    near(key).forEach((other) => mark(other, "is-near", true));
    document.getElementById(`p-${key}`).classList.add("is-open");
    svg.classList.add("has-open");
    const around = union([key, ...near(key)].map((other) => items.get(other).box));
    reveal(around.width * look.k < svg.clientWidth - 380 ? around : items.get(key).box);
  };
  const keyOf = (target) => target.closest && target.closest("[data-key]")?.dataset.key;

  let drag = null;
  svg.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, moved: false }; });
  svg.addEventListener("pointermove", (event) => {
    if (!drag || !event.buttons) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    if (!drag.moved) svg.setPointerCapture(event.pointerId);
    svg.classList.add("is-dragged");
    look.x += dx;
    look.y += dy;
    drag = { x: event.clientX, y: event.clientY, moved: true };
    apply();
  });
  svg.addEventListener("pointerup", () => svg.classList.remove("is-dragged"));
  svg.addEventListener("click", (event) => {
    const moved = drag && drag.moved;
    drag = null;
    if (moved) return;
    const key = keyOf(event.target);
    if (key) open(key); else close();
  });
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const at = svg.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX - at.left, event.clientY - at.top);
  }, { passive: false });
  for (const [event, on] of [["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]]) {
    svg.addEventListener(event, ({ target }) => {
      const key = keyOf(target);
      if (!key) return;
      const label = items.get(key).label;
      if (label) label.classList.toggle("is-near", on || (opened !== null && near(opened).includes(key)));
      if (event === "focusin" && target.matches(":focus-visible")) reveal(items.get(key).box);
    });
  }
  frame.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = 60;
    const key = keyOf(event.target);
    const actions = {
      Escape: close,
      "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), "0": () => fit(0.15),
      ArrowLeft: () => { look.x += step; apply(); }, ArrowRight: () => { look.x -= step; apply(); },
      ArrowUp: () => { look.y += step; apply(); }, ArrowDown: () => { look.y -= step; apply(); },
    };
    if (key) actions.Enter = actions[" "] = () => open(key);
    if (!actions[event.key] || (!svg.contains(event.target) && event.key !== "Escape")) return;
    event.preventDefault();
    actions[event.key]();
  });
  frame.addEventListener("click", (event) => {
    const action = event.target.closest("button")?.dataset.do;
    if (action === "close") { const key = opened; close(); items.get(key)?.group.focus(); }
    if (action === "in") zoom(1.25);
    if (action === "out") zoom(0.8);
    if (action === "fit") fit(0.15);
  });

  const graph = choose();
  bounds = graph.graph();
  frame.prepend(svg);
  const [first, second] = bounds.rankdir === "LR" ? ["x", "y"] : ["y", "x"];
  const reading = (a, b) => {
    const [from, to] = [graph.node(a.source || a.key), graph.node(b.source || b.key)];
    return from[first] - to[first] || from[second] - to[second];
  };
  [...data.nodes].sort(reading).forEach((node) => drawNode(graph, node));
  [...data.edges].sort(reading).forEach((edge) => drawEdge(graph, edge));
  fit(MIN_SCALE);
  let width = frame.clientWidth;
  new ResizeObserver(() => { if (Math.abs(frame.clientWidth - width) > 1) { width = frame.clientWidth; fit(MIN_SCALE); } }).observe(frame);
})();
