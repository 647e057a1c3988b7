"use strict";
// Histograms: a small one in a table opens as a large one with its axis.
(() => {
  const { svg, html } = tb;
  tb.chart = (path, label) => {
    const plot = svg("svg", { class: "histogram", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": label });
    svg("path", { class: "base", d: "M0 100H1000" }, plot);
    svg("path", { class: "mid", d: path }, plot);
    const axis = svg("svg", { class: "axis", "aria-hidden": "true" });
    tb.data.axis.forEach(([at, text], i, all) => {
      svg("path", { class: "base", d: "M0 0V5", transform: "translate(0 0)" }, svg("svg", { x: `${at}%`, overflow: "visible" }, axis));
      svg("text", { x: `${at}%`, y: 18, class: i === 0 ? "first" : i === all.length - 1 ? "last" : "" }, axis, text);
    });
    return html("div", { class: "plot" }, plot, axis, html("p", { class: "muted small" }, label));
  };

  const dialog = document.getElementById("histogram");
  for (const cell of document.querySelectorAll("td.spread")) {
    const small = cell.querySelector("svg.histogram");
    if (!small) continue;
    const names = [...cell.parentNode.cells].slice(0, 2).filter((c) => c.classList.contains("name")).map((c) => c.firstChild.textContent.trim());
    const button = html("button", { type: "button", class: "bare", "aria-label": `Histogram of ${names.join(" ")}: ${small.getAttribute("aria-label")}` });
    small.replaceWith(button);
    small.removeAttribute("role");
    small.removeAttribute("aria-label");
    small.setAttribute("aria-hidden", "true");
    button.append(small);
    button.addEventListener("click", () => {
      const heads = [...cell.closest("table").tHead.rows[0].cells];
      const numbers = [...cell.parentNode.cells].map((c, i) => [heads[i].textContent, c]).filter(([, c]) => c.classList.contains("num"));
      dialog.replaceChildren(
        html("button", { type: "button", class: "close", "aria-label": "Close" }, "✕"),
        html("h3", { id: "histogram-title" }, names.join(" · ")),
        tb.chart(small.querySelector(".mid").getAttribute("d"), button.getAttribute("aria-label").split(": ").pop()),
        html("dl", { class: "numbers" }, ...numbers.map(([head, c]) => html("div", {}, html("dt", {}, head), html("dd", {}, c.textContent || "–")))),
      );
      dialog.querySelector(".close").addEventListener("click", () => dialog.close());
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
})();
