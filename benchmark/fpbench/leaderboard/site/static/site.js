/* On every page: theme, sorting, filtering, copying. No library, no network; text is only ever set
   as text, never as markup. */
(function () {
  "use strict";

  var root = document.documentElement;
  var all = function (selector, within) {
    return Array.prototype.slice.call((within || document).querySelectorAll(selector));
  };
  var one = function (selector, within) { return (within || document).querySelector(selector); };

  function make(name, attributes, children) {
    var svg = ["svg", "path", "text", "g", "title"].indexOf(name) >= 0;
    var element = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) {
      element.setAttribute(key, attributes[key]);
    });
    (children || []).forEach(function (child) {
      element.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
    });
    return element;
  }

  /* Theme: automatic, light, dark in turn. */
  function setUpTheme() {
    var button = one("#theme");
    var order = ["automatic", "light", "dark"];
    var show = function () { button.textContent = "Theme: " + (root.dataset.theme || "automatic"); };
    button.hidden = false;
    show();
    button.addEventListener("click", function () {
      var next = order[(order.indexOf(root.dataset.theme || "automatic") + 1) % 3];
      if (next === "automatic") delete root.dataset.theme;
      else root.dataset.theme = next;
      try {
        if (next === "automatic") window.localStorage.removeItem("fpbench-theme");
        else window.localStorage.setItem("fpbench-theme", next);
      } catch (error) {
        // Storage can be switched off; the choice then holds for this page alone.
      }
      show();
    });
  }

  /* Sorting. Rows without a number stay last in either direction; ties keep their order. */
  function keyOf(cell) {
    var kept = cell.getAttribute("data-v");
    var text = kept === null ? cell.textContent.trim() : kept;
    var number = parseFloat(text.replace(/,/g, "").replace(/^[–-]$/, ""));
    return { number: number, text: text.toLowerCase() };
  }

  function sortTable(table, column, ascending) {
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows);
    var textual = !rows.some(function (row) {
      return /^[-–]?[\d.,]/.test(keyOf(row.cells[column]).text);
    });
    var keyed = rows.map(function (row, index) {
      return { row: row, key: keyOf(row.cells[column]), index: index };
    });
    var sign = ascending ? 1 : -1;
    var compare = textual && Intl.Collator ? new Intl.Collator("en", { numeric: true }).compare : null;
    keyed.sort(function (a, b) {
      if (textual) return sign * compare(a.key.text, b.key.text) || a.index - b.index;
      var noA = isNaN(a.key.number), noB = isNaN(b.key.number);
      if (noA || noB) return noA - noB || a.index - b.index;
      return sign * (a.key.number - b.key.number) || a.index - b.index;
    });
    var fragment = document.createDocumentFragment();
    keyed.forEach(function (item) { fragment.appendChild(item.row); });
    limit(table, keyed.map(function (item) { return item.row; }));
    body.appendChild(fragment);
  }

  /* Long boards show their first rows, in whatever order, until all are asked for: a reader does
     not wait for five hundred rows to be laid out. */
  var FIRST = 200;

  function limit(table, rows) {
    var button = table.moreButton;
    if (!button) return;
    var shown = 0;
    rows.forEach(function (row) {
      if (!row.hidden) shown += 1;
      row.classList.toggle("beyond", !table.showsAll && shown > FIRST);
    });
    button.hidden = table.showsAll || shown <= FIRST;
    button.textContent = "Show all " + shown + " rows";
  }

  function setUpLimit(table) {
    var rows = Array.prototype.slice.call(table.tBodies[0].rows);
    if (rows.length <= FIRST) return;
    table.moreButton = make("button", { type: "button", class: "more" });
    table.parentElement.insertAdjacentElement("afterend", table.moreButton);
    table.moreButton.addEventListener("click", function () {
      table.showsAll = true;
      limit(table, Array.prototype.slice.call(table.tBodies[0].rows));
    });
    limit(table, rows);
  }

  function setUpSorting(table) {
    var headings = all("th[aria-sort]", table);
    headings.forEach(function (heading) {
      var button = one("button", heading);
      button.addEventListener("click", function () {
        var now = heading.getAttribute("aria-sort");
        var next = now === "none" ? button.dataset.first
          : now === "ascending" ? "descending" : "ascending";
        headings.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
        heading.setAttribute("aria-sort", next);
        sortTable(table, heading.cellIndex, next === "ascending");
      });
    });
  }

  /* Filtering, and showing groups of columns. */
  function setUpFilters(bar) {
    var place = document.getElementById(bar.dataset.for);
    var search = one("input[type=search]", bar);
    var section = one("select[data-filter=section]", bar);
    var status = one("[role=status]", bar);
    var boxes = all("input[data-group]", bar);
    var rows = all("tbody tr", place).map(function (row) {
      return { row: row, text: row.cells[0].textContent.toLowerCase() + " " +
        (row.cells[1].classList.contains("text") ? row.cells[1].textContent.toLowerCase() : "") };
    });
    function filter() {
      var words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      var shown = 0;
      all("[data-section]", place).forEach(function (part) {
        part.hidden = Boolean(section && section.value && section.value !== part.dataset.section);
      });
      rows.forEach(function (item) {
        var keep = words.every(function (word) { return item.text.indexOf(word) >= 0; });
        item.row.hidden = !keep;
        var part = item.row.closest("[data-section]");
        if (keep && !(part && part.hidden)) shown += 1;
      });
      all("table", place.tagName === "TABLE" ? place.parentElement : place).forEach(function (table) {
        limit(table, Array.prototype.slice.call(table.tBodies[0].rows));
      });
      status.textContent = shown + " of " + rows.length + " rows";
    }
    function show() {
      boxes.forEach(function (box) {
        all("table", place).forEach(function (table) {
          table.classList.toggle("off" + box.dataset.group, !box.checked);
        });
      });
    }
    if (boxes.length && window.matchMedia("(max-width: 40rem)").matches) {
      boxes.forEach(function (box, index) { box.checked = index === 0; });
    }
    search.addEventListener("input", filter);
    if (section) section.addEventListener("change", filter);
    boxes.forEach(function (box) { box.addEventListener("change", show); });
    show();
    filter();
  }

  function setUpCopying() {
    all("button.copy").forEach(function (button) {
      if (!navigator.clipboard) return;
      button.hidden = false;
      button.addEventListener("click", function () {
        var said = one("#copied");
        navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent).then(
          function () { said.textContent = "Copied."; },
          function () { said.textContent = "The browser did not allow copying."; }
        );
      });
    });
  }

  setUpTheme();
  all("table.board").forEach(setUpSorting);
  all("table.board").forEach(setUpLimit);
  all(".filters").forEach(setUpFilters);
  setUpCopying();

  // What the scripts of single pages need, too.
  window.fpbench = { all: all, one: one, make: make };
})();
