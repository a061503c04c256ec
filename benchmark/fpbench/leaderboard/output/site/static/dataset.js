/* On a dataset's page, after site.js: comparing two rows, and pictures of one. Text is only ever set
   as text, never as markup. */
(function () {
  "use strict";

  var all = window.fpbench.all, one = window.fpbench.one, make = window.fpbench.make;
  var cellsOf = window.fpbench.cellsOf, keep = window.fpbench.keepState, kept = window.fpbench.stateOf;

  /* A choice that stands in the address; the option is named by its text. */
  function bound(select, key, changed) {
    var asked = kept(key);
    Array.prototype.forEach.call(select.options, function (option) {
      if (asked && option.textContent === asked) select.value = option.value;
    });
    select.addEventListener("change", function () {
      keep(key, select.selectedIndex < 0 ? "" : select.options[select.selectedIndex].textContent);
      changed();
    });
  }

  /* Comparing two rows by the test that was made when the site was. */
  function unpack(text) {
    var raw = window.atob(text);
    var bytes = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }

  /* Hundredths that were packed a byte each, with 100 added. */
  function hundredths(text) {
    return Array.prototype.map.call(unpack(text), function (octet) { return octet - 100; });
  }

  function pairOf(section, first, second) {
    var a = section.paired.indexOf(first), b = section.paired.indexOf(second);
    if (a < 0 || b < 0 || a === b || !section.pairs) return null;
    section.bytes = section.bytes || unpack(section.pairs);
    var low = Math.min(a, b), high = Math.max(a, b), count = section.paired.length;
    var place = 6 * (low * count - (low * (low + 1)) / 2 + (high - low - 1));
    var octets = section.bytes.subarray(place, place + 6);
    return {
      p: probability(octets[0] | ((octets[1] & 0xf) << 8)),
      corrected: probability((octets[1] >> 4) | (octets[2] << 4)),
      halfwidth: (octets[3] | (octets[4] << 8) | ((octets[5] & 0x7f) << 16)) / 4000000,
      separated: Boolean(octets[5] & 0x80),
      pairs: (count * (count - 1)) / 2
    };
  }

  /* A p-value that was packed as a number of two digits and an exponent. */
  function probability(bits) {
    var number = bits & 0x7f, p = number * Math.pow(10, -(bits >> 7) - 1);
    if (number < 10) return "< 1e-31";
    if (p > 0.995) return "= 1";
    return "= " + (p < 0.0001 ? p.toExponential(1) : p.toPrecision(2));
  }

  /* What a cell holds, its interval still set apart. */
  function copied(cell) {
    return Array.prototype.map.call(cell.childNodes, function (node) { return node.cloneNode(true); });
  }

  /* A configuration's name, which may break after its colon rather than within a word. */
  function breakable(label) {
    var place = label.indexOf(":") + 1;
    return place ? [label.slice(0, place), make("wbr"), label.slice(place)] : [label];
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
        return "These rows have no predictions of the same images, so they cannot be compared.";
      }
      var gap = one_.value - other.value;
      var ends = [gap - found.halfwidth, gap + found.halfwidth];
      var alone = [one_, other].filter(function (row) { return row.one_run; });
      return one_.label + " less " + other.label + " in accuracy: " + signed(gap) +
        ", 95 % interval of this difference alone [" + signed(ends[0]) + ", " + signed(ends[1]) +
        "], p " + found.p + "; corrected by Holm for all " + found.pairs +
        " pairs of this section p " + found.corrected + ". " +
        (found.separated ? "Significantly different." : "Not significantly different.") +
        (alone.length ? " " + alone.map(function (row) { return row.label; }).join(" and ") +
          (alone.length > 1 ? " are one run each" : " is one run") +
          ": this tells of " + (alone.length > 1 ? "these runs, not of the methods." : "this run, not of the method.") : "");
    }
    function signed(number) {
      var text = Math.abs(number).toFixed(3);
      return (Number(text) === 0 ? "" : number < 0 ? "−" : "+") + text;
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
        make("th", { scope: "col" }, breakable(labels[0])),
        make("th", { scope: "col" }, breakable(labels[1]))
      ])]));
      var body = make("tbody");
      var headings = cellsOf(board.tHead.rows[1]);
      var add = function (k) {
        body.appendChild(make("tr", {}, [
          make("th", { scope: "row" }, [headings[k].textContent]),
          make("td", {}, copied(cellsOf(lines[0])[k])),
          make("td", {}, copied(cellsOf(lines[1])[k]))
        ]));
      };
      // What is in no group first, else it would stand under the last one's heading.
      headings.forEach(function (_, k) { if (k && !board.groupOf[k]) add(k); });
      all("tr.groups th", board).forEach(function (group) {
        body.appendChild(make("tr", { class: "group" }, [
          make("th", { scope: "rowgroup", colspan: "3" }, [group.textContent])
        ]));
        headings.forEach(function (_, k) { if (board.groupOf[k] === group.dataset.group) add(k); });
      });
      table.appendChild(body);
      table.parentElement.hidden = false;
    }
    if (which) bound(which, "compare", fill);
    fill();
    bound(first, "first", tell);
    bound(second, "second", tell);
    tell();
  }

  /* A row's citation, with the hashes of its records and links to them. */
  function setUpCiting(data) {
    var panel = one("#citation"), records = one("#row-records");
    var rows = {};
    data.sections.forEach(function (section) {
      section.rows.forEach(function (row) { rows["row-" + row.key] = { row: row, section: section }; });
    });
    function cite(name, move) {
      var found = rows[name];
      if (!found) return;
      all("tr.chosen").forEach(function (row) { row.classList.remove("chosen"); });
      document.getElementById(name).classList.add("chosen");
      var row = found.row, dates = row.records.map(function (record) { return record[2]; }).sort();
      var date = dates[dates.length - 1];
      one("#row-bibtex").textContent = "@misc{fpbench-" + row.key + ",\n" +
        "  title = {" + row.label + " on " + data.board + (row.value === null ? "" :
          ": accuracy " + row.value.toFixed(3)) + "},\n" +
        "  howpublished = {fpbench leaderboard, " + found.section.title.toLowerCase() + "},\n" +
        "  year = {" + date.slice(0, 4) + "},\n" +
        "  note = {Records " + row.records.map(function (record) { return record[0]; }).join(", ") +
        ", last of " + date + "}\n}";
      records.textContent = "";
      row.records.forEach(function (record) {
        records.appendChild(make("a", { href: data.records + record[1] }, [record[0].slice(0, 6)]));
        records.appendChild(document.createTextNode(" "));
      });
      panel.hidden = false;
      if (move) panel.scrollIntoView({ block: "nearest" });
    }
    all("a.cite").forEach(function (link) {
      link.addEventListener("click", function (event) {
        event.preventDefault();
        var name = link.getAttribute("href").slice(1);
        window.fpbench.setAnchor(name);
        cite(name, true);
      });
    });
    cite(window.fpbench.anchor(), false);
  }

  /* Images: which rows attribute each correctly, a bit each. */
  var MOST_IMAGES = 48;

  function setUpExplorer(data) {
    var place = one("#explorer"), found = data.explorer;
    if (!place) return;
    if (!found) {
      place.hidden = true;
      return;
    }
    var what = one("#explore-what"), which = one("#explore-row");
    var target = one("#explore-place"), told = one("#explore-count");
    var labels = found.rows.map(function (k) { return data.sections[0].rows[k].label; });
    var bits = found.right.map(unpack);
    labels.forEach(function (label, k) {
      which.appendChild(make("option", { value: String(k) }, [label]));
    });
    function right(row, image) { return (bits[row][image >> 3] >> (7 - (image & 7))) & 1; }
    var counts = found.ids.map(function (_, image) {
      var sum = 0;
      for (var row = 0; row < bits.length; row += 1) sum += right(row, image);
      return sum;
    });
    function show() {
      var row = Number(which.value), kind = what.value, all_ = bits.length;
      which.parentElement.hidden = kind === "hard";
      var images = [];
      found.ids.forEach(function (_, image) {
        var own = right(row, image), count = counts[image];
        if (kind === "hard" ? count === 0
          : kind === "wrong" ? !own
          : kind === "alone-wrong" ? !own && count === all_ - 1
          : own && count === 1) images.push(image);
      });
      images.sort(function (a, b) { return counts[a] - counts[b]; });
      told.textContent = images.length + " of " + found.ids.length + " images" +
        (images.length > MOST_IMAGES ? "; the first " + MOST_IMAGES + " are shown" : "") +
        ". A row attributes an image correctly if more than half of its runs do.";
      target.textContent = "";
      images.slice(0, MOST_IMAGES).forEach(function (image) {
        var id = found.ids[image], source = found.sources[found.labels[image]];
        var picture = (found.pictures || {})[id];
        target.appendChild(make("figure", {}, (picture
          ? [make("img", { src: "../" + picture, alt: "Test image " + id, loading: "lazy" })] : []
        ).concat([make("figcaption", {}, [id + ", " + source + ": " + counts[image] + " of " +
          all_ + " rows"])])));
      });
    }
    one(".chooser", place).hidden = false;
    bound(what, "images", show);
    bound(which, "images-of", show);
    show();
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
        var shares = hundredths(row.confusion), count = data.sources.length;
        var lines = data.sources.map(function (_, k) { return shares.slice(k * count, (k + 1) * count); });
        pair.appendChild(make("div", {}, [
          make("h3", {}, ["Confusion"]),
          make("p", { class: "note" }, ["Share of each source's test images (rows) attributed to each source (columns)." +
            (data.sources.length > data.generators.length
              ? " Real is a source here; the headline accuracy is among generators alone." : "")]),
          matrix("Confusion of " + row.label, data.sources, data.sources, lines,
            function (n) { return (n / 100).toFixed(2); }, function (n) { return n / 100; })
        ]));
      }
      if (row.structure) {
        var order = row.structure.order;
        var names = order.map(function (k) { return data.generators[k]; });
        var lower = hundredths(row.structure.correlations);
        var values = order.map(function (i) {
          return order.map(function (j) {
            var high = Math.max(i, j);
            return i === j ? 100 : lower[(high * (high - 1)) / 2 + Math.min(i, j)];
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
          make("div", { class: "drawing", role: "region", tabindex: "0",
            "aria-label": "Tree of sources, " + row.label }, [tree(row.structure, data.generators)])
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
    bound(select, "pictures", draw);
    draw();
  }

  var data = JSON.parse(one("#data").textContent);
  setUpCiting(data);
  setUpComparison(data);
  setUpExplorer(data);
  setUpPictures(data);
})();
