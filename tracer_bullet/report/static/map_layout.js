"use strict";
// Where parts and lines of the service map go: sizes from the text, places from dagre, and the shape of each kind.
tb.layout = (() => {
  const NAME_CHARS = 28, MAX_HEIGHT = 760, BOTH_WAYS = 60;
  const pen = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  const measure = (text, font) => { pen.font = `${font} ${family}`; return pen.measureText(text).width; };
  const short = (text) => {  // from the middle: what tells names apart is mostly at their end
    const all = Array.from(text);
    return all.length > NAME_CHARS ? [...all.slice(0, 9), "…", ...all.slice(10 - NAME_CHARS)].join("") : text;
  };

  const sizeNode = (node, folded) => {
    node.lines = [[short(node.name), "name", "600 13px"], [node.sub, "sub", "11px"]];
    if (node.alert) node.lines.push([`▲ ${node.alert}`, "alert", "650 11px"]);
    if (folded) node.lines.push([`+${folded} not drawn`, "folded", "11px"]);
    const painted = [node.errors[1], node.latency[1]].map((text) => measure(text, "11px"));
    const widest = Math.max(...node.lines.map(([text, , font]) => measure(text, font)), ...painted);
    const side = { third_party: 40, queue: 44, harness: 44 }[node.kind] || 28;
    node.width = Math.max(84, Math.ceil(widest) + side);
    node.height = 14 + 16 * node.lines.length + (node.kind === "store" ? 12 : 0);
  };
  const sizeEdge = (edge) => {
    edge.lines = [[edge.label, ""]];
    if (edge.writes) edge.lines.push([`⟲ ${short(edge.writes)}`, "write"]);
    if (edge.alert) edge.lines.push([`▲ ${edge.alert}`, "alert"]);
    edge.labelWidth = Math.ceil(Math.max(...edge.lines.map(([text]) => measure(text, "650 11px")))) + 10;
    edge.labelHeight = 14 * edge.lines.length + 5;
  };
  const layOut = (nodes, edges, direction, dense) => {
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    const flat = direction === "LR";
    graph.setGraph({ rankdir: direction, nodesep: dense ? 16 : 26, edgesep: dense ? 8 : 14, ranksep: dense ? 100 : flat ? 34 : 36, marginx: 18, marginy: 18 });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const node of nodes) graph.setNode(node.key, { width: node.width, height: node.height });
    for (const edge of edges) {
      const room = dense ? {} : { width: edge.labelWidth, height: edge.labelHeight, labelpos: "c" };
      graph.setEdge(edge.source, edge.target, room, edge.key);
    }
    dagre.layout(graph);
    return graph;
  };
  const fit = (graph, width) => Math.min(1.15, width / graph.graph().width, MAX_HEIGHT / graph.graph().height);

  // The direction in which the drawing can be larger; a large one is laid out once only, by the room there is.
  const layout = (nodes, edges, folded, width) => {
    const dense = edges.length > 30;
    nodes.forEach((node) => sizeNode(node, folded.get(node.key)));
    edges.forEach(sizeEdge);
    if (edges.length > BOTH_WAYS) return { dense, graph: layOut(nodes, edges, width < 700 ? "TB" : "LR", dense) };
    const flat = layOut(nodes, edges, "LR", dense), tall = layOut(nodes, edges, "TB", dense);
    return { dense, graph: fit(flat, width) >= 0.9 * fit(tall, width) ? flat : tall };
  };
  layout.MAX_HEIGHT = MAX_HEIGHT;

  layout.shapePath = (kind, w, h) => {
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
  layout.route = (graph, edge, points) => {
    if (edge.source === edge.target) return points;
    const flat = graph.graph().rankdir === "LR";
    const from = graph.node(edge.source), to = graph.node(edge.target);
    const ahead = flat ? Math.sign(to.x - from.x) : Math.sign(to.y - from.y);
    if (!ahead) return points;
    const side = (node, sign) => (flat ? { x: node.x + (sign * node.width) / 2, y: node.y } : { x: node.x, y: node.y + (sign * node.height) / 2 });
    return [side(from, ahead), ...points.slice(1, -1), side(to, -ahead)];
  };
  layout.linePath = (points, flat) => {
    let path = `M${points[0].x} ${points[0].y}`;
    for (let i = 1; i < points.length; i++) {
      const a = points[i - 1], b = points[i], x = (a.x + b.x) / 2, y = (a.y + b.y) / 2;
      path += flat ? `C${x} ${a.y} ${x} ${b.y} ${b.x} ${b.y}` : `C${a.x} ${y} ${b.x} ${y} ${b.x} ${b.y}`;
    }
    return path;
  };
  return layout;
})();
