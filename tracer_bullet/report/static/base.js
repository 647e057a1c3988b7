"use strict";
// What all scripts of the page share. Foreign text goes in through textContent, or was escaped when the page was made.
const tb = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };
  const svg = (tag, attributes = {}, parent = null, text = null) => {
    const element = fill(document.createElementNS(SVG, tag), attributes, text === null ? [] : [text]);
    if (parent) parent.append(element);
    return element;
  };
  const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

  // What is not seen at first waits as text in a <noscript>: shown when scripts are off, parsed when it is wanted.
  const unfold = (details) => {
    for (const waiting of details.querySelectorAll(":scope > noscript.lazy")) {
      const parsed = new DOMParser().parseFromString(waiting.textContent, "text/html");
      waiting.replaceWith(...[...parsed.body.childNodes].map((node) => document.adoptNode(node)));
    }
  };
  document.addEventListener("toggle", (event) => { if (event.target.open) unfold(event.target); }, true);
  document.querySelectorAll("details[open]").forEach(unfold);

  // A link to a trace opens it, and moves the focus there.
  const show = (id) => {
    const target = id && document.getElementById(id);
    if (!target || target.tagName !== "DETAILS") return;
    target.open = true;
    unfold(target);
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[href^='#t']");
    if (link) setTimeout(() => show(link.getAttribute("href").slice(1)));
  });
  show(location.hash.slice(1));

  // Of the least busy edges of a large system the page knows only what is drawn.
  const data = JSON.parse(document.getElementById("tb-map").textContent);
  const names = new Map(data.nodes.map((node) => [node.key, node.name]));
  data.brief.forEach(([source, target, label, alert, tone, errors, latency, later], i) => data.edges.push({
    key: `b${i}`, source, target, label, alert, tone, later, brief: true, writes: "",
    aria: `${names.get(source)} to ${names.get(target)}: ${label}${alert ? `, ${alert}` : ""}`,
    errors: [errors, ""], latency: [latency, ""],
    facts: [["Calls", label]], quantiles: [], histogram: null, findings: [], evidence: [], examples: [],
  }));
  return { svg, html, data };
})();
