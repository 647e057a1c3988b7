"use strict";
// The service map: what is drawn of it, pan and zoom, choosing, colours. Everything works by mouse and by keyboard.
(() => {
  const frame = document.getElementById("map");
  const data = tb.data;
  if (!frame || !data.nodes.length || typeof dagre === "undefined") return;

  const MIN_SCALE = 0.72, MAX_SCALE = 2.5, LEAST = 0.15, AROUND = 40;
  const stage = frame.querySelector(".stage"), panel = document.getElementById("panel"), said = frame.querySelector(".said");
  const whole = frame.querySelector("[data-do=whole]");
  const svg = tb.svg("svg", { class: "canvas", role: "group", "aria-label": "Service map" });
  stage.prepend(svg);
  const nodeOf = new Map(data.nodes.map((node) => [node.key, node]));
  const edgesOf = new Map(data.nodes.map((node) => [node.key, []]));
  for (const edge of data.edges) {
    edgesOf.get(edge.source).push(edge);
    if (edge.target !== edge.source) edgesOf.get(edge.target).push(edge);
  }
  const other = (edge, key) => (edge.source === key ? edge.target : edge.source);
  const titleOf = (item) => (item.source === undefined ? item.name : `${nodeOf.get(item.source).name} → ${nodeOf.get(item.target).name}`);

  // ---- what is drawn: the most important parts, or one part with its neighbours
  let items = new Map(), view = null, bounds = { width: 1, height: 1 }, centre = null, opened = null, paint = "plain";
  const look = { x: 0, y: 0, k: 1 };
  const choice = () => {
    if (centre === null) return { keys: new Set(data.nodes.slice(0, data.drawn[0]).map((n) => n.key)), limit: data.drawn[1] };
    const near = edgesOf.get(centre).map((edge) => other(edge, centre));
    return { keys: new Set([centre, ...new Set(near)].slice(0, AROUND + 1)), limit: 4 * AROUND };
  };
  const redraw = () => {
    opened = null;
    panel.hidden = true;
    const { keys, limit } = choice();
    const inside = data.edges.filter((edge) => keys.has(edge.source) && keys.has(edge.target));
    const edges = (centre === null ? inside : [...inside].sort((a, b) => touches(b) - touches(a))).slice(0, limit);
    const nodes = data.nodes.filter((node) => keys.has(node.key));
    const folded = new Map(nodes.map((node) => [node.key, new Set(edgesOf.get(node.key).map((edge) => other(edge, node.key)).filter((key) => !keys.has(key))).size]));
    const laid = tb.layout(nodes, edges, folded, frame.clientWidth);
    svg.setAttribute("class", `canvas paint-${paint}${laid.dense ? " dense" : ""}`);
    ({ view, items } = tb.draw(svg, laid, nodes, edges));
    bounds = laid.graph.graph();
    whole.hidden = centre === null;
    const missing = centre === null ? 0 : new Set(edgesOf.get(centre).map((edge) => other(edge, centre))).size - AROUND;
    said.textContent = centre === null ? "" : `Drawn: ${nodeOf.get(centre).name} and its neighbours${missing > 0 ? `, without ${missing} more` : ""}.`;
    colour();
    fit(MIN_SCALE);
  };
  const touches = (edge) => Number(edge.source === centre || edge.target === centre);

  // ---- pan and zoom
  const apply = () => view.setAttribute("transform", `translate(${look.x} ${look.y}) scale(${look.k})`);
  const zoom = (factor, cx = svg.clientWidth / 2, cy = svg.clientHeight / 2) => {
    const k = Math.min(MAX_SCALE, Math.max(LEAST, look.k * factor));
    look.x = cx - ((cx - look.x) * k) / look.k;
    look.y = cy - ((cy - look.y) * k) / look.k;
    look.k = k;
    apply();
  };
  const fit = (floor) => {
    const width = frame.clientWidth, most = tb.layout.MAX_HEIGHT;
    look.k = Math.max(floor, Math.min(1.15, width / bounds.width, most / bounds.height));
    const height = Math.round(Math.min(most, Math.max(width < 720 ? 260 : 400, bounds.height * look.k)));
    svg.setAttribute("height", height);
    const first = items.get(centre ?? svg.querySelector("g.node").dataset.key).box;  // Tab's first, where reading begins
    const place = (room, size, at, lead) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room * lead - at)));
    look.x = place(width, bounds.width * look.k, first.x * look.k, centre === null ? 0.1 : 0.5);
    look.y = place(height, bounds.height * look.k, first.y * look.k, 0.5);
    apply();
  };
  const reveal = (box) => {
    const taken = !panel.hidden && getComputedStyle(panel).position === "absolute" ? panel.offsetWidth + 12 : 0;
    const x = box.x * look.k + look.x, y = box.y * look.k + look.y;
    const dx = (box.width / 2) * look.k + 12, dy = (box.height / 2) * look.k + 12;
    look.x += Math.max(0, dx - x) - Math.max(0, x + dx - svg.clientWidth + taken);
    look.y += Math.max(0, dy - y) - Math.max(0, y + dy - svg.clientHeight);
    apply();
  };

  // ---- colours
  const colour = () => {
    svg.setAttribute("class", svg.getAttribute("class").replace(/paint-\w+/, `paint-${paint}`));
    for (const { item, sub } of items.values()) if (sub) sub.textContent = paint === "plain" ? item.sub : item[paint][1] || item.sub;
    for (const part of frame.querySelectorAll("[data-paint]")) part.hidden = part.dataset.paint !== paint;
  };

  // ---- choosing
  const mark = (key, name, on) => {
    const found = items.get(key);
    if (!found) return;
    found.group.classList.toggle(name, on);
    if (found.label) found.label.classList.toggle(name, on);
  };
  const near = (key) => {
    const { item } = items.get(key);
    if (item.source) return [item.source, item.target];
    return edgesOf.get(key).filter((edge) => items.has(edge.key)).flatMap((edge) => [edge.key, other(edge, key)]);
  };
  const union = (boxes) => {
    const edge = (axis, size, sign) => Math.max(...boxes.map((box) => sign * box[axis] + box[size] / 2));
    const [left, right, top, bottom] = [-edge("x", "width", -1), edge("x", "width", 1), -edge("y", "height", -1), edge("y", "height", 1)];
    return { x: (left + right) / 2, y: (top + bottom) / 2, width: right - left, height: bottom - top };
  };
  const close = () => {
    if (opened === null) return;
    mark(opened, "is-open", false);
    items.get(opened).face.setAttribute("aria-pressed", "false");
    near(opened).forEach((key) => mark(key, "is-near", false));
    panel.hidden = true;
    svg.classList.remove("has-open");
    opened = null;
  };
  const actionsOf = (item) => {
    if (item.source !== undefined || item.key === centre || edgesOf.get(item.key).length === 0) return [];
    return [tb.html("button", { type: "button", class: "wide", "data-do": "around" }, "Draw only its surroundings")];
  };
  const open = (key) => {
    const again = key === opened;
    close();
    if (again) return;
    opened = key;
    const { item, face, box } = items.get(key);
    mark(key, "is-open", true);
    face.setAttribute("aria-pressed", "true");
    near(key).forEach((next) => mark(next, "is-near", true));
    panel.replaceChildren(...tb.panel(item, titleOf(item), actionsOf(item)));
    panel.dataset.of = key;
    panel.hidden = false;
    panel.scrollTop = 0;
    svg.classList.add("has-open");
    const around = union([key, ...near(key)].map((next) => items.get(next).box));
    reveal(around.width * look.k < svg.clientWidth - 380 ? around : box);
  };
  const surround = (key) => {
    centre = key;
    redraw();
    if (key === null) return;
    open(key);
    items.get(key).face.focus({ preventScroll: true });
  };
  // From the search box: a part that is not drawn is drawn with its neighbours.
  const show = (key) => {
    if (!items.has(key)) return surround(key);
    if (opened !== key) open(key);
    items.get(key).face.focus({ preventScroll: true });
    svg.scrollIntoView({ block: "nearest" });
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
      if (!key || !items.has(key)) return;
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
      Escape: () => { const key = opened; close(); if (panel.contains(event.target)) items.get(key)?.face.focus(); },
      "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), "0": () => fit(LEAST),
      ArrowLeft: () => { look.x += step; apply(); }, ArrowRight: () => { look.x -= step; apply(); },
      ArrowUp: () => { look.y += step; apply(); }, ArrowDown: () => { look.y -= step; apply(); },
    };
    if (key) actions.Enter = actions[" "] = () => { open(key); if (!panel.hidden) panel.querySelector("button").focus({ preventScroll: true }); };
    if (!actions[event.key] || (!svg.contains(event.target) && event.key !== "Escape")) return;
    event.preventDefault();
    actions[event.key]();
  });
  frame.addEventListener("click", (event) => {
    const action = event.target.closest("button")?.dataset.do;
    const actions = {
      close: () => { const key = opened; close(); items.get(key)?.face.focus({ preventScroll: true }); },
      in: () => zoom(1.25), out: () => zoom(0.8), fit: () => fit(LEAST),
      whole: () => surround(null), around: () => surround(opened),
    };
    if (action) actions[action]();
  });
  frame.addEventListener("change", (event) => {
    if (event.target.name !== "paint") return;
    paint = event.target.value;
    colour();
  });

  tb.find(show);
  redraw();
  let width = frame.clientWidth;
  new ResizeObserver(() => { if (Math.abs(frame.clientWidth - width) > 1) { width = frame.clientWidth; fit(MIN_SCALE); } }).observe(frame);
})();
