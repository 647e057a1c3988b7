"use strict";
// What a part or a line of the map says when it is opened: numbers on both sides, findings, evidence, traces.
tb.panel = (() => {
  const { html } = tb;
  const trace = ([id, key]) => (key ? html("a", { class: "id", href: `#${key}`, title: `Show trace ${id}` }, html("code", {}, id)) : html("code", { class: "id", title: id }, id));
  const block = (title, ...children) => html("div", { class: "why" }, html("strong", {}, title), ...children);
  const facts = (rows) => html("dl", {}, ...rows.flatMap(([label, value, tone]) => [html("dt", {}, label), html("dd", { class: `tone-${tone || "plain"}` }, value)]));
  const quantiles = (rows) => html(
    "table", { class: "mini" },
    html("thead", {}, html("tr", {}, html("td"), ...rows.map(([label]) => html("th", { scope: "col" }, label)))),
    html("tbody", {}, ...tb.data.heads.map((head, i) => html("tr", {}, html("th", { scope: "row" }, head), ...rows.map(([, ...values]) => html("td", {}, values[i]))))),
  );
  const evidence = (proofs) => html(
    "ul", {},
    ...(proofs.length
      ? proofs.map(([rule, times, traces]) => html("li", {}, "rule ", html("code", {}, rule), `, ${times}`, traces.length ? ", as in " : null, ...traces.flatMap((t) => [trace(t), " "])))
      : [html("li", {}, "no evidence was recorded")]),
  );

  return (item, title, actions) => {
    const isEdge = item.source !== undefined;
    return [
      html("button", { type: "button", class: "close", "data-do": "close", "aria-label": "Close" }, "✕"),
      html("h3", {}, title),
      ...actions,
      facts(item.facts),
      isEdge && !item.brief ? quantiles(item.quantiles) : null,
      item.brief ? html("p", { class: "muted small" }, "The page of a large system has all numbers of the failing and the busiest edges only.") : null,
      item.histogram ? html("div", { class: "chart" }, tb.chart(...item.histogram)) : null,
      item.findings.length ? block("Findings", html("ul", {}, ...item.findings.map((said) => html("li", {}, said)))) : null,
      isEdge && !item.brief ? block("Why it is believed", evidence(item.evidence)) : null,
      isEdge && item.examples.length ? block("Seen in ", ...item.examples.flatMap((t) => [trace(t), " "])) : null,
    ].filter((child) => child !== null);
  };
})();
