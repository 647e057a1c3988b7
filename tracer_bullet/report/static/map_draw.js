"use strict";
// Draws a laid out map into an SVG. What is drawn is found again by its key.
tb.draw = (() => {
  const make = tb.svg;
  const tips = (svg) => {
    const defs = make("defs", {}, svg);
    for (const tone of ["line", "bad", "warn"]) {
      const size = tone === "line" ? 9 : 12;
      const tip = make("marker", { id: `tip-${tone}`, viewBox: "0 0 10 10", refX: 9, refY: 5, markerUnits: "userSpaceOnUse", markerWidth: size, markerHeight: size, orient: "auto-start-reverse" }, defs);
      make("path", { d: "M0 0L10 5L0 10Z", class: `tip-${tone}` }, tip);
    }
  };
  const steps = (item) => `e${item.errors[0]} l${item.latency[0]}`;

  return (svg, laid, nodes, edges) => {
    const { graph, dense } = laid;
    svg.replaceChildren();
    tips(svg);
    const view = make("g", {}, svg);
    const edgeLayer = make("g", {}, view), nodeLayer = make("g", {}, view), labelLayer = make("g", {}, view);
    const items = new Map();
    // What is pressed (`face`) has a full name of its own; the texts beside it are for the eye.
    const button = (item) => ({ tabindex: 0, role: "button", "aria-pressed": "false", "aria-label": item.aria, "data-key": item.key });
    const drawEdge = (edge) => {
      const placed = graph.edge({ v: edge.source, w: edge.target, name: edge.key });
      const tone = edge.tone === "bad" || edge.tone === "warn" ? edge.tone : "line";
      const group = make("g", { class: `edge ${edge.tone}${edge.later ? " later" : ""} ${steps(edge)}`, ...button(edge) }, edgeLayer);
      const path = tb.layout.linePath(tb.layout.route(graph, edge, placed.points), graph.graph().rankdir === "LR");
      make("path", { d: path, class: "hit" }, group);
      const line = make("path", { d: path, class: "line", "marker-end": `url(#tip-${tone})` }, group);
      const middle = dense || placed.x === undefined ? line.getPointAtLength(line.getTotalLength() / 2) : placed;
      const found = { item: edge, group, face: group, sub: null };
      items.set(edge.key, found);
      found.box = { x: middle.x, y: middle.y, width: edge.labelWidth, height: edge.labelHeight };
      found.label = make("g", { class: "label", transform: `translate(${middle.x} ${middle.y})`, "data-key": edge.key, "aria-hidden": "true" }, labelLayer);
      make("rect", { x: -edge.labelWidth / 2, y: -edge.labelHeight / 2, width: edge.labelWidth, height: edge.labelHeight, rx: 5 }, found.label);
      edge.lines.forEach(([text, kind], i) => make("text", { class: kind, y: -edge.labelHeight / 2 + 13 + 14 * i }, found.label, text));
      if (dense && edge.alert) make("path", { class: "flag", d: `M${middle.x} ${middle.y - 8}l9 15h-18z` }, group);
    };
    const drawNode = (node) => {
      const placed = graph.node(node.key);
      const group = make("g", { class: `node ${node.kind} ${node.tone} ${steps(node)}`, transform: `translate(${placed.x} ${placed.y})`, "data-key": node.key }, nodeLayer);
      const face = make("g", { class: "face", ...button(node) }, group);
      const found = { item: node, group, face, label: null, sub: null, box: { x: placed.x, y: placed.y, width: node.width, height: node.height } };
      items.set(node.key, found);
      make("title", {}, group, node.name);
      make("rect", { class: "ring", x: -node.width / 2 - 5, y: -node.height / 2 - 5, width: node.width + 10, height: node.height + 10, rx: 12 }, face);
      make("path", { class: "shape", d: tb.layout.shapePath(node.kind, node.width, node.height) }, face);
      const top = -(16 * node.lines.length) / 2 + 12 + (node.kind === "store" ? 5 : 0);
      node.lines.forEach(([text, kind], i) => {
        const line = make("text", { class: kind, y: top + 16 * i, "aria-hidden": "true" }, group, text);
        if (kind === "sub") found.sub = line;
      });
    };
    // In reading order, so that Tab goes along the drawing.
    const [first, second] = graph.graph().rankdir === "LR" ? ["x", "y"] : ["y", "x"];
    const reading = (a, b) => {
      const [from, to] = [graph.node(a.source || a.key), graph.node(b.source || b.key)];
      return from[first] - to[first] || from[second] - to[second];
    };
    [...nodes].sort(reading).forEach(drawNode);
    // Lines need the SVG in the page to be measured, and lie below the parts.
    [...edges].sort(reading).forEach(drawEdge);
    return { view, items };
  };
})();
