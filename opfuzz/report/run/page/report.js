"use strict";
(() => {
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  // A file opened from disk may not be allowed to remember anything.
  const remembered = {
    get: () => { try { return localStorage.getItem("opfuzz-theme"); } catch { return null; } },
    set: (name) => { try { localStorage.setItem("opfuzz-theme", name); } catch { /* it is not kept */ } },
  };

  const themes = ["system", "light", "dark"];
  const button = $("#theme");
  const dress = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    button.value = name;
  };
  dress(themes.includes(remembered.get()) ? remembered.get() : "system");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(button.value) + 1) % themes.length];
    dress(next);
    remembered.set(next);
  });

  // Python's words for what is no number are known; an empty cell counts as less than any error.
  const number = (cell) => {
    const text = cell.textContent.trim();
    if (text === "inf" || text === "nan") return Infinity;
    return text ? Number(text) : -Infinity;
  };
  const sort = (table, column, heading) => {
    const numeric = "n" in heading.dataset;
    const up = heading.ariaSort ? heading.ariaSort === "descending" : !numeric;
    const rows = all("tbody > tr", table);
    const sign = up ? 1 : -1;
    rows.sort((a, b) => sign * (numeric
      ? Math.sign(number(a.cells[column]) - number(b.cells[column])) || 0
      : a.cells[column].textContent.localeCompare(b.cells[column].textContent)));
    $("tbody", table).append(...rows);
    for (const each of all("thead th", table)) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((heading, column) => {
      const control = document.createElement("button");
      control.type = "button";
      control.textContent = heading.textContent;
      heading.replaceChildren(control);
      control.addEventListener("click", () => sort(table, column, heading));
    });
  }

  const form = $("#filters");
  const rows = all("#rows > tbody > tr");
  const filter = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const op = wanted.op.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const [name, subject, format, verdict] = [...row.cells].slice(0, 4).map((cell) => cell.textContent);
      row.hidden = !(name.toLowerCase().includes(op)
        && (!wanted.subject || subject === wanted.subject)
        && (!wanted.format || format === wanted.format)
        && (!wanted.verdict || wanted.verdict === row.dataset.s || wanted.verdict === verdict));
      shown += !row.hidden;
    }
    $("#count").textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // not allowed, as for some files from disk
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  for (const code of all("details.code")) {
    const control = document.createElement("button");
    control.type = "button";
    control.textContent = "Copy";
    $("summary", code).after(control);
    control.addEventListener("click", async () => {
      control.textContent = await copied($("pre", code).textContent) ? "Copied" : "Not allowed: select and copy";
      setTimeout(() => { control.textContent = "Copy"; }, 2000);
    });
  }

  // A link to what is inside a closed section opens it.
  const reveal = () => {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { /* no such place */ }
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (link && link.hash === location.hash) reveal();
  });
  if (location.hash) reveal();

  const ops = all("details.op");
  const open = $("#open");
  if (open) { // a page of one table has no sections to open
    open.hidden = false;
    open.addEventListener("click", () => {
      const is_open = open.textContent === "Open all";
      for (const op of ops) op.open = is_open;
      open.textContent = is_open ? "Close all" : "Open all";
    });
  }

  let printed = [];
  addEventListener("beforeprint", () => {
    printed = ops.filter((op) => !op.open);
    for (const op of printed) op.open = true;
  });
  addEventListener("afterprint", () => { for (const op of printed) op.open = false; });
})();
