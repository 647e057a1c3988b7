"use strict";
// The search box of the map: a combobox whose list is walked by arrow keys (WAI-ARIA pattern, list autocomplete).
tb.find = (choose) => {
  const LIMIT = 12;
  const box = document.getElementById("find"), list = document.getElementById("found");
  let found = [], at = -1;
  const place = (i) => {
    at = i;
    [...list.children].forEach((row, j) => row.setAttribute("aria-selected", String(j === i)));
    if (i < 0) box.removeAttribute("aria-activedescendant");
    else {
      box.setAttribute("aria-activedescendant", list.children[i].id);
      list.children[i].scrollIntoView({ block: "nearest" });
    }
  };
  const close = () => {
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    place(-1);
  };
  const pick = (node) => {
    box.value = "";
    close();
    choose(node.key);
  };
  const search = () => {
    const wanted = box.value.trim().toLowerCase();
    const rank = (node) => {
      const i = node.name.toLowerCase().indexOf(wanted);
      return i < 0 ? null : i === 0 ? 0 : 1;
    };
    found = wanted ? tb.data.nodes.filter((n) => rank(n) !== null).sort((a, b) => rank(a) - rank(b) || a.name.length - b.name.length).slice(0, LIMIT) : [];
    list.replaceChildren(...found.map((node, i) => tb.html("li", { id: `found-${i}`, role: "option", "aria-selected": "false" }, tb.html("b", {}, node.name), ` ${node.sub}${node.alert ? ` ▲ ${node.alert}` : ""}`)));
    if (wanted && !found.length) list.append(tb.html("li", { role: "option", "aria-disabled": "true", "aria-selected": "false", id: "found-none" }, "nothing of that name"));
    list.hidden = !wanted;
    box.setAttribute("aria-expanded", String(Boolean(wanted)));
    place(found.length ? 0 : -1);
  };
  box.addEventListener("input", search);
  box.addEventListener("keydown", (event) => {
    const n = found.length;
    const keys = {
      ArrowDown: () => n && place((at + 1) % n),
      ArrowUp: () => n && place((at - 1 + n) % n),
      Enter: () => at >= 0 && pick(found[at]),
      Escape: () => { box.value = ""; close(); },
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  box.addEventListener("blur", () => setTimeout(close, 150));
  list.addEventListener("pointerdown", (event) => {
    const i = [...list.children].indexOf(event.target.closest("li"));
    if (found[i]) { event.preventDefault(); pick(found[i]); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
    event.preventDefault();
    box.focus();
    box.scrollIntoView({ block: "nearest" });
  });
};
