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

  /* All cells of a row, also those of columns that are not shown. */
  function cellsOf(row) { return row.every || row.cells; }

  /* Changes a table's body outside of the document, where moving rows costs no layout. */
  function outside(table, change) {
    var body = table.tBodies[0];
    body.remove();
    change(body);
    table.insertBefore(body, table.tFoot);
  }

  /* What a reader chose stands behind a question mark in the address's fragment, so that a link
     shows the same: fragments may change on pages that are opened as files, too. */
  var state = {};
  var anchor = "";

  function readState() {
    var parts = window.location.hash.slice(1).split("?");
    anchor = decodeURIComponent(parts[0]);
    state = {};
    new URLSearchParams(parts[1] || "").forEach(function (value, key) { state[key] = value; });
  }

  function keepState(key, value) {
    if (value) state[key] = value;
    else delete state[key];
    var query = new URLSearchParams(state).toString();
    window.history.replaceState(null, "", "#" + anchor + (query ? "?" + query : ""));
  }

  function setAnchor(name) {
    anchor = name;
    keepState("", "");
  }

  /* Columns that are not asked for are taken out of the document and not merely hidden: every cell
     that is there costs whenever rows move. */
  function setUpColumns(table) {
    var groups = one("tr.groups", table);
    table.order = Array.prototype.slice.call(table.tBodies[0].rows);
    if (!groups) return;
    table.groupOf = [];
    Array.prototype.forEach.call(groups.cells, function (cell) {
      for (var k = 0; k < cell.colSpan; k += 1) table.groupOf.push(cell.dataset.group || "");
    });
    Array.prototype.forEach.call(table.rows, function (row) {
      if (row !== groups) row.every = Array.prototype.slice.call(row.cells);
    });
    table.columnOf = table.tHead.rows[1].every.map(function (cell) {
      return cell.dataset.column || "";
    });
    if (table.classList.contains("cards")) {
      var titles = table.tHead.rows[1].every.map(function (cell) { return cell.textContent; });
      table.order.concat(all("tr", table.tFoot)).forEach(function (row) {
        row.every.forEach(function (cell, k) { if (k) cell.setAttribute("data-title", titles[k]); });
      });
    }
  }

  function showColumns(table, shown) {
    var kept = table.columnOf.map(function (key) { return !key || shown.indexOf(key) >= 0; });
    all("tr.groups th", table).forEach(function (cell) {
      var count = kept.filter(function (keep, k) {
        return keep && table.groupOf[k] === cell.dataset.group;
      }).length;
      cell.hidden = count === 0;
      cell.colSpan = Math.max(1, count);
    });
    outside(table, function (body) {
      [table.tHead.rows[1]].concat(table.order, all("tr", table.tFoot)).forEach(function (row) {
        row.replaceChildren.apply(row, row.every.filter(function (cell, k) { return kept[k]; }));
      });
    });
  }

  /* Sorting. Rows without a number stay last in either direction; ties keep their order. What a
     column is sorted by is read once. */
  var collator = new Intl.Collator("en", { numeric: true });

  function keysOf(table, column, textual) {
    var keys = new Map();
    table.order.forEach(function (row) {
      var cell = cellsOf(row)[column], kept = cell.getAttribute("data-v");
      var text = kept === null ? cell.textContent.trim() : kept;
      keys.set(row, textual ? text.toLowerCase() : parseFloat(text.replace(/,/g, "")));
    });
    return keys;
  }

  function sortTable(table, column, textual, ascending) {
    table.sortKeys = table.sortKeys || [];
    var keys = table.sortKeys[column] || (table.sortKeys[column] = keysOf(table, column, textual));
    var sign = ascending ? 1 : -1;
    table.order.sort(textual ? function (a, b) {
      return sign * collator.compare(keys.get(a), keys.get(b));
    } : function (a, b) {
      var x = keys.get(a), y = keys.get(b), noX = isNaN(x), noY = isNaN(y);
      return noX || noY ? noX - noY : sign * (x - y);
    });
    reveal(table, true);
  }

  /* Long boards show their first rows, in whatever order, until all are asked for. Of these, what
     fits a screen comes at once and the rest in the frames that follow, so that a reader does not
     wait for rows far below to be laid out. */
  var FIRST = 200, AT_ONCE = 80, A_FRAME = 60;

  function reveal(table, moved) {
    var place = table.parentElement, button = table.moreButton;
    var kept = table.order.filter(function (row) { return !row.hidden; });
    var asked = kept.slice(0, table.showsAll || !button ? kept.length : FIRST);
    window.cancelAnimationFrame(table.frame);
    if (moved) {
      // The page keeps its height until all rows are back, or what is read below would jump.
      place.style.minHeight = place.offsetHeight + "px";
      outside(table, function (body) {
        kept.forEach(function (row, k) { row.classList.toggle("beyond", k >= AT_ONCE); });
        var fragment = document.createDocumentFragment();
        table.order.forEach(function (row) { fragment.appendChild(row); });
        body.appendChild(fragment);
      });
    } else {
      kept.forEach(function (row, k) {
        if (k >= asked.length) row.classList.add("beyond");
        else if (k < AT_ONCE) row.classList.remove("beyond");
      });
    }
    var later = asked.filter(function (row) { return row.classList.contains("beyond"); });
    if (button) {
      button.hidden = table.showsAll || kept.length <= FIRST;
      button.textContent = "Show all " + kept.length + " rows";
    }
    if (later.length) table.setAttribute("aria-busy", "true");
    (function more() {
      if (!later.length) {
        table.removeAttribute("aria-busy");
        place.style.minHeight = "";
        return;
      }
      table.frame = window.requestAnimationFrame(function () {
        later.splice(0, A_FRAME).forEach(function (row) { row.classList.remove("beyond"); });
        more();
      });
    })();
  }

  function setUpLimit(table) {
    if (table.order.length <= FIRST) return;
    table.moreButton = make("button", { type: "button", class: "more" });
    table.parentElement.insertAdjacentElement("afterend", table.moreButton);
    table.moreButton.addEventListener("click", function () {
      table.showsAll = true;
      reveal(table, false);
    });
    reveal(table, false);
  }

  function setUpSorting(table) {
    var titles = cellsOf(table.tHead.rows[table.tHead.rows.length - 1]);
    var headings = Array.prototype.filter.call(titles, function (th) {
      return th.hasAttribute("aria-sort");
    });
    var number = all("table.board").indexOf(table);
    headings.forEach(function (heading) {
      var button = one("button", heading);
      var column = Array.prototype.indexOf.call(titles, heading);
      function sort(next) {
        headings.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
        heading.setAttribute("aria-sort", next);
        sortTable(table, column, button.dataset.kind === "text", next === "ascending");
      }
      button.addEventListener("click", function () {
        var now = heading.getAttribute("aria-sort");
        var next = now === "none" ? button.dataset.first
          : now === "ascending" ? "descending" : "ascending";
        sort(next);
        keepState("sort" + number, (heading.dataset.column || button.textContent) + " " + next);
      });
      var asked = (state["sort" + number] || "").split(" ");
      var way = asked.pop();
      if (asked.join(" ") === (heading.dataset.column || button.textContent) &&
          (way === "ascending" || way === "descending")) sort(way);
    });
  }

  /* Filtering, and showing groups of columns. */
  function setUpFilters(bar) {
    var place = document.getElementById(bar.dataset.for);
    var search = one("input[type=search]", bar);
    var section = one("select[data-filter=section]", bar);
    var status = one("[role=status]", bar);
    var boxes = all("input[data-column]", bar);
    var tables = place.tagName === "TABLE" ? [place] : all("table.board", place);
    var rows = all("tbody tr", place).map(function (row) {
      return { row: row, text: row.cells[0].textContent.toLowerCase() + " " +
        (row.dataset.find || "") };
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
      tables.forEach(function (table) { reveal(table, false); });
      status.textContent = shown + " of " + rows.length + " rows";
    }
    function chosen() {
      return boxes.filter(function (box) { return box.checked; }).map(function (box) {
        return box.dataset.column;
      });
    }
    function show() {
      if (boxes.length) tables.forEach(function (table) { showColumns(table, chosen()); });
    }
    var usual = chosen().join(","), name = "find-" + bar.dataset.for;
    if (boxes.length) {
      one("details.columns", bar).hidden = false;
      if (state.columns !== undefined) {
        var asked = state.columns.split(",");
        boxes.forEach(function (box) { box.checked = asked.indexOf(box.dataset.column) >= 0; });
      }
    }
    search.value = state[name] || "";
    if (section && state.section) section.value = state.section;
    search.addEventListener("input", function () {
      filter();
      keepState(name, search.value);
    });
    if (section) section.addEventListener("change", function () {
      filter();
      keepState("section", section.value);
    });
    boxes.forEach(function (box) {
      box.addEventListener("change", function () {
        show();
        var now = chosen().join(",");
        keepState("columns", now === usual ? "" : now || "none");
      });
    });
    show();
    filter();
  }

  function setUpCopying() {
    all("button.copy").forEach(function (button) {
      if (!navigator.clipboard) return;
      button.hidden = false;
      button.addEventListener("click", function () {
        var said = one(".copied", button.parentElement);
        navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent).then(
          function () { said.textContent = "Copied."; },
          function () { said.textContent = "The browser did not allow copying."; }
        );
      });
    });
  }

  readState();
  setUpTheme();
  all("table.board").forEach(setUpColumns);
  all("table.board").forEach(setUpSorting);
  all("table.board").forEach(setUpLimit);
  all(".filters").forEach(setUpFilters);
  setUpCopying();

  // What the scripts of single pages need, too.
  window.fpbench = {
    all: all, one: one, make: make, cellsOf: cellsOf, keepState: keepState, setAnchor: setAnchor,
    anchor: function () { return anchor; },
    stateOf: function (key) { return state[key] || ""; }
  };
  // The browser cannot find an anchor that a question mark follows.
  if (anchor && window.location.hash.indexOf("?") >= 0) {
    var place = document.getElementById(anchor);
    if (place) place.scrollIntoView();
  }
})();
