/* Sorting, filtering, comparing and drawing. No library, no network; text is only ever set as
   text, never as markup. */
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

  /* Comparing two rows by the paired test that was made when the site was. */
  function unpack(text) {
    var raw = window.atob(text);
    var bytes = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }

  function pairOf(section, first, second) {
    var a = section.paired.indexOf(first), b = section.paired.indexOf(second);
    if (a < 0 || b < 0 || a === b || !section.pairs) return null;
    section.bytes = section.bytes || unpack(section.pairs);
    var low = Math.min(a, b), high = Math.max(a, b), count = section.paired.length;
    var place = 3 * (low * count - (low * (low + 1)) / 2 + (high - low - 1));
    var bits = section.bytes[place] | (section.bytes[place + 1] << 8) | (section.bytes[place + 2] << 16);
    var exponent = bits & 0xfff;
    return {
      p: (exponent === 0xfff ? "below " : "") + probability(Math.pow(10, -exponent / 200)),
      halfwidth: ((bits >> 12) & 0x7ff) / 4000,
      separated: Boolean(bits & 0x800000),
      pairs: (count * (count - 1)) / 2
    };
  }

  function probability(p) {
    if (p > 0.9995) return "1";
    return p < 0.0001 ? p.toExponential(1) : p.toPrecision(2);
  }

  function setUpComparison(data) {
    var place = one("#comparison");
    if (!place || !data.sections.length) {
      if (place) place.hidden = true;
      return;
    }
    var chooser = one(".chooser", place);
    var which = one("#compare-section"), first = one("#compare-first"), second = one("#compare-second");
    var result = one("#compare-result"), table = one("#compare-table");
    var boards = all("#boards table");
    chooser.hidden = false;

    function current() { return which ? Number(which.value) : 0; }
    function fill() {
      [first, second].forEach(function (select, position) {
        select.textContent = "";
        data.sections[current()].rows.forEach(function (row, index) {
          select.appendChild(make("option", { value: String(index) }, [row.label]));
        });
        select.selectedIndex = Math.min(position, select.options.length - 1);
      });
      tell();
    }
    function tell() {
      var section = data.sections[current()];
      var a = Number(first.value), b = Number(second.value);
      result.textContent = "";
      result.appendChild(make("p", {}, [sentence(section, a, b)]));
      sideBySide(boards[current()], section, a, b);
    }
    function sentence(section, a, b) {
      var one_ = section.rows[a], other = section.rows[b];
      if (a === b) return "Choose two different rows.";
      var found = pairOf(section, a, b);
      if (!found || one_.value === null || other.value === null) {
        return "These rows have no predictions of the same images, so no paired test can be made.";
      }
      var gap = one_.value - other.value;
      var ends = [gap - found.halfwidth, gap + found.halfwidth];
      return one_.label + " has " + (gap >= 0 ? "a higher" : "a lower") + " accuracy than " +
        other.label + ": " + (gap >= 0 ? "+" : "−") + Math.abs(gap).toFixed(3) + " [" +
        ends[0].toFixed(3) + ", " + ends[1].toFixed(3) + "]. Paired test on the same images: p " +
        (found.p.indexOf("below") < 0 ? "= " : "") + found.p + ", corrected by Holm for all " + found.pairs + " pairs of this section. " +
        (found.separated ? "The test separates them." : "The test cannot separate them: they tie.");
    }
    function sideBySide(board, section, a, b) {
      var labels = [section.rows[a].label, section.rows[b].label];
      // Sorting moves rows, so they are found by their names.
      var lines = labels.map(function (label) {
        return all("tbody tr", board).filter(function (row) {
          return one("th a", row).textContent === label;
        })[0];
      });
      while (table.rows.length) table.deleteRow(0);
      all("thead, tbody", table).forEach(function (part) { part.remove(); });
      table.appendChild(make("thead", {}, [make("tr", {}, [
        make("th", { scope: "col" }, ["score"]),
        make("th", { scope: "col" }, [labels[0]]),
        make("th", { scope: "col" }, [labels[1]])
      ])]));
      var body = make("tbody");
      var headings = board.tHead.rows[1].cells;
      for (var k = 1; k < headings.length; k += 1) {
        body.appendChild(make("tr", {}, [
          make("th", { scope: "row" }, [headings[k].textContent]),
          make("td", {}, [lines[0].cells[k].textContent]),
          make("td", {}, [lines[1].cells[k].textContent])
        ]));
      }
      table.appendChild(body);
      table.parentElement.hidden = false;
    }
    if (which) which.addEventListener("change", fill);
    first.addEventListener("change", tell);
    second.addEventListener("change", tell);
    fill();
  }

  /* Pictures: matrices as tables that a screen reader can read, the tree as SVG with a text. */
  function matrix(caption, rows, columns, values, show, shade) {
    var table = make("table", { class: "matrix" }, [make("caption", { class: "hidden" }, [caption])]);
    var head = make("tr", {}, [make("td")]);
    columns.forEach(function (name) { head.appendChild(make("th", { scope: "col" }, [name])); });
    table.appendChild(make("thead", {}, [head]));
    var body = make("tbody");
    values.forEach(function (line, k) {
      var row = make("tr", {}, [make("th", { scope: "row" }, [rows[k]])]);
      line.forEach(function (number) {
        var cell = make("td", {}, [show(number)]);
        var strength = shade(number);
        var colour = strength < 0 ? "--negative" : "--positive";
        cell.style.background = "rgba(var(" + colour + "), " + (Math.abs(strength) * 0.6).toFixed(2) + ")";
        row.appendChild(cell);
      });
      body.appendChild(row);
    });
    table.appendChild(body);
    return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, [table]);
  }

  function tree(structure, names) {
    var count = names.length, step = 24, width = 560, left = 20;
    var longest = Math.max.apply(null, names.map(function (name) { return name.length; }));
    var right = Math.min(260, 16 + longest * 8); // room for the names, about 8 units a letter
    var height = count * step + 40;
    var top_ = Math.max.apply(null, structure.merges.map(function (m) { return m[2]; })) || 1;
    var x = function (value) { return left + ((top_ - value) / top_) * (width - left - right); };
    var nodes = [], words = [];
    structure.order.forEach(function (leaf, position) {
      nodes[leaf] = { x: x(0), y: 14 + position * step, name: names[leaf] };
    });
    var drawing = make("svg", { class: "tree", viewBox: "0 0 " + width + " " + height, role: "img" });
    var title = make("title");
    drawing.appendChild(title);
    structure.merges.forEach(function (merge, k) {
      var a = nodes[merge[0]], b = nodes[merge[1]], at = x(merge[2]);
      drawing.appendChild(make("path", { d: "M" + a.x + " " + a.y + "H" + at + "V" + b.y + "H" + b.x }));
      nodes[count + k] = { x: at, y: (a.y + b.y) / 2, name: a.name + " with " + b.name };
      words.push(a.name + " joins " + b.name + " at " + (merge[2] / 1000).toFixed(2));
    });
    title.textContent = "Tree of sources by 1 − correlation of their fingerprints: " + words.join("; ");
    structure.order.forEach(function (leaf) {
      drawing.appendChild(make("text", { x: String(x(0) + 6), y: String(nodes[leaf].y + 4) },
        [names[leaf]]));
    });
    [0, top_ / 2, top_].forEach(function (value) {
      drawing.appendChild(make("text", { class: "axis", x: String(x(value)), y: String(height - 8),
        "text-anchor": "middle" }, [(value / 1000).toFixed(2)]));
    });
    return drawing;
  }

  function setUpPictures(data) {
    var place = one("#figures"), target = one("#picture-place"), select = one("#picture-row");
    if (!place) return;
    var rows = [];
    data.sections.forEach(function (section) {
      var group = make("optgroup", { label: section.title });
      section.rows.forEach(function (row) {
        if (!row.confusion && !row.structure && !row.pictures) return;
        group.appendChild(make("option", { value: String(rows.length) }, [row.label]));
        rows.push(row);
      });
      if (group.children.length) select.appendChild(group);
    });
    if (!rows.length) {
      place.hidden = true;
      return;
    }
    one(".chooser", place).hidden = false;
    function draw() {
      var row = rows[Number(select.value)];
      target.textContent = "";
      var pair = make("div", { class: "pair" });
      if (row.confusion) {
        pair.appendChild(make("div", {}, [
          make("h3", {}, ["Confusion"]),
          make("p", { class: "note" }, ["Share of each source's test images (rows) attributed to each source (columns)."]),
          matrix("Confusion of " + row.label, data.sources, data.sources, row.confusion,
            function (n) { return (n / 100).toFixed(2); }, function (n) { return n / 100; })
        ]));
      }
      if (row.structure) {
        var order = row.structure.order;
        var names = order.map(function (k) { return data.generators[k]; });
        var lower = row.structure.correlations;
        var values = order.map(function (i) {
          return order.map(function (j) {
            return i === j ? 100 : lower[Math.max(i, j) - 1][Math.min(i, j)];
          });
        });
        pair.appendChild(make("div", {}, [
          make("h3", {}, ["Correlation of fingerprints"]),
          make("p", { class: "note" }, ["Of the sources' mean fingerprints, in the order of the tree."]),
          matrix("Correlation of fingerprints, " + row.label, names, names, values,
            function (n) { return (n / 100).toFixed(2); }, function (n) { return n / 100; })
        ]));
        pair.appendChild(make("div", {}, [
          make("h3", {}, ["Which sources are alike"]),
          make("p", { class: "note" }, ["Average linkage on 1 − correlation: sources that join further right are more alike."]),
          tree(row.structure, data.generators)
        ]));
      }
      Object.keys(row.pictures || {}).forEach(function (kind) {
        var words = kind === "tsne" ? "t-SNE of test fingerprints" : "Test images and their residuals";
        pair.appendChild(make("div", {}, [
          make("h3", {}, [words]),
          make("img", { src: "../" + row.pictures[kind], alt: words + " of " + row.label, loading: "lazy" })
        ]));
      });
      target.appendChild(pair);
    }
    select.addEventListener("change", draw);
    draw();
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
  var embedded = one("#data");
  if (embedded) {
    var data = JSON.parse(embedded.textContent);
    setUpComparison(data);
    setUpPictures(data);
  }
})();
