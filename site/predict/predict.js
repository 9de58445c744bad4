/* Predict, then reveal: the reader guesses first, and then sees what qgc measured (site/predict/export.py).

   Read it from top to bottom: memory, numbers, words; then the two kinds of exercise, `look` (mark where the model
   looks) and `pick` (which of two methods is the more grounded one). maps.js loads the data and paints. */
"use strict";

(() => {
  const { GRID, CELLS, SIDE, BESIDE, loader, image, bytes, floats, percent, share, cosine } = window.qgcMaps;
  const { newCanvas, paleOf, tintsOf, heatGradient, paintMap, paintOutlines, whenNear } = window.qgcMaps;
  const CELL = SIDE / GRID;
  const load = loader(document.currentScript.src, "qgcPredict");

  // -- memory -------------------------------------------------------------------------------------
  // Guesses stay in this browser, if it allows that, and count only for the data that they were made on. All sites of
  // one origin share this storage, so what is read there is anybody's: each exercise says what it can use.
  const memory = {
    here: new Map(), // where storage is refused or full, guesses last as long as the page
    key: (name) => `question-grounded-gradcam/predict/1:${name}`, // 1: the format of what is kept
    read(name, version, usable) {
      if (!this.here.has(name)) {
        try {
          this.here.set(name, JSON.parse(localStorage.getItem(this.key(name))));
        } catch {
          // nothing was kept, or no JSON
        }
      }
      const kept = this.here.get(name);
      return kept?.version === version && usable(kept.guesses) ? kept.guesses : null;
    },
    write(name, version, guesses) {
      this.here.set(name, { version, guesses });
      try {
        localStorage.setItem(this.key(name), JSON.stringify({ version, guesses }));
      } catch {
        // told to the reader by `lasts`
      }
    },
    forget(name) {
      this.here.delete(name);
      try {
        localStorage.removeItem(this.key(name));
      } catch {
        // nothing was kept
      }
    },
    lasts() {
      try {
        localStorage.setItem(this.key(""), "");
        localStorage.removeItem(this.key(""));
        return true;
      } catch {
        return false;
      }
    },
  };

  // What `look` keeps: for each of two questions the cells that are marked, and whether its map is open. A map opens
  // only after a cell was marked, and the second question's after the first's.
  const MARKS = new RegExp(`^[01]{${CELLS}}$`);
  const isLook = (guess) =>
    typeof guess?.marks === "string" &&
    MARKS.test(guess.marks) &&
    [false, guess.marks.includes("1")].includes(guess.open);
  const areLooks = (kept) =>
    Array.isArray(kept) && kept.length === 2 && kept.every(isLook) && (kept[0].open || !kept[1].open);

  // What `pick` keeps: a choice for each scene so far.
  const arePicks = (total) => (kept) =>
    Array.isArray(kept) && kept.length <= total && kept.every((choice) => ["a", "b", "close"].includes(choice));

  // -- numbers ------------------------------------------------------------------------------------
  // How much of cell i's heat, enlarged along one side, falls into the pixels of cell c: SPILL[c][i].
  const SPILL = Array.from({ length: GRID }, () => new Float64Array(GRID));
  BESIDE.forEach(([i, k, weight], pixel) => {
    const row = SPILL[Math.floor((pixel * GRID) / BESIDE.length)];
    row[i] += 1 - weight;
    row[k] += weight;
  });

  // The same for all marked cells and both sides: what qgc.measure.localise.cell_weights gives for their pixels.
  function insideOf(marks) {
    const inside = new Float64Array(CELLS);
    marks.forEach((marked, cell) => {
      if (!marked) return;
      const [down, across] = [SPILL[Math.floor(cell / GRID)], SPILL[cell % GRID]];
      for (let i = 0; i < CELLS; i++) inside[i] += down[Math.floor(i / GRID)] * across[i % GRID];
    });
    return inside;
  }

  const count = (marks) => marks.reduce((sum, marked) => sum + marked, 0);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const signed = (value) => (Math.abs(value) < 0.0005 ? "0.000" : value.toFixed(3).replace("-", "−"));
  const halves = (points) => `${Math.floor(points) || (points % 1 ? "" : 0)}${points % 1 ? "½" : ""}`;

  // -- words and elements ---------------------------------------------------------------------------
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const finder = (root) => (name) => root.querySelector(`[data-at="${name}"]`);

  function element(tag, text, properties = {}) {
    return Object.assign(document.createElement(tag), { textContent: text }, properties);
  }

  // A table from rows of text: the first row and the first column are headings.
  function table(rows, caption) {
    const found = element("table", "");
    found.append(element("caption", caption));
    rows.forEach((row, i) => {
      const line = found.insertRow();
      row.forEach((text, k) =>
        line.append(i && k ? element("td", text) : element("th", text, { scope: i ? "row" : "col" })),
      );
    });
    const box = element("div", "", { className: "qp-table" }); // a wide table scrolls, the page does not
    box.append(found);
    return box;
  }

  const legend = (index) => {
    const key = element("p", "", { className: "qp-legend" });
    const bar = element("i", "");
    bar.style.background = heatGradient(floats(index.heat), index.paper);
    key.append("0 ", bar, " 1: heat, as a share of the map’s own maximum");
    return key;
  };

  function footer(name, again) {
    const foot = element("div", "", { className: "qp-foot" });
    const note = memory.lasts()
      ? "Your guesses stay in this browser, and go nowhere else."
      : "This browser keeps nothing for this page: your guesses last until you leave it.";
    const forget = element("button", "Forget my guesses", { type: "button", name: "forget" });
    forget.addEventListener("click", () => {
      memory.forget(name);
      again();
    });
    foot.append(element("small", note), forget);
    return foot;
  }

  // =============================================================== look: mark where the model looks
  const step = (k, id) => `
    <section class="qp-step" data-step="${k}" aria-labelledby="${id}-q${k}">
      <h4 id="${id}-q${k}" data-at="question"></h4>
      <p class="qp-said" data-at="said"></p>
      <div class="qp-picture">
        <canvas width="${SIDE}" height="${SIDE}" data-at="canvas" aria-hidden="true"></canvas>
        <div class="qp-grid" role="grid" aria-multiselectable="true" aria-labelledby="${id}-q${k}"
          aria-describedby="${id}-help" data-at="grid"></div>
      </div>
      <p class="qp-count" data-at="count"></p>
      <div class="qp-buttons" data-at="buttons">
        <button type="button" name="reveal" class="qp-main">Reveal</button>
        <button type="button" name="clear">Clear</button>
        ${k ? '<button type="button" name="copy">Take my first marks</button>' : ""}
      </div>
      <div class="qp-result" data-at="result" tabindex="-1" hidden></div>
    </section>`;

  const lookPage = (id) => `
    <h3 id="${id}-title" data-at="title"></h3>
    <p data-at="lead"></p>
    <p class="qp-help" id="${id}-help">Drag over the image to mark cells; begin on a marked cell to erase. By
      keyboard: arrow keys move, <kbd>Space</kbd> marks or erases, <kbd>Shift</kbd> with an arrow goes on with it.</p>
    <div class="qp-steps">${step(0, id)}${step(1, id)}</div>
    <div class="qp-both" data-at="both" tabindex="-1" hidden></div>
    <p class="qgc-voice" aria-live="polite" data-at="voice"></p>`;

  async function look(root, name, index) {
    const data = await load(name);
    const picture = await image(data.picture);
    const pale = paleOf(picture);
    const tints = tintsOf(floats(index.heat));
    const anywhere = floats(data.anywhere);
    const things = Object.fromEntries(
      Object.entries(data.things).map(([key, { outline, inside, area }]) => [
        key,
        { path: new Path2D(outline), inside: floats(inside), area },
      ]),
    );
    const maps = data.questions.map((question) => floats(question.map));
    const id = `qp-${name}`;
    root.innerHTML = lookPage(id);
    const at = finder(root);
    const kept = memory.read(name, data.version, areLooks);
    const guesses = [0, 1].map((k) => ({
      marks: Uint8Array.from(kept?.[k].marks ?? "0".repeat(CELLS)),
      open: kept?.[k].open ?? false,
    }));
    const save = () =>
      memory.write(
        name,
        data.version,
        guesses.map(({ marks, open }) => ({ marks: marks.join(""), open })),
      );

    at("title").textContent = "Guess first: where does the model look?";
    at("lead").textContent =
      `The image shows ${data.about}. Mark the cells on which you expect the Grad-CAM map of the model ` +
      `${data.model} for the answer “${data.answer}”, then reveal it. A second question with the same answer follows.`;

    let timer;
    function say(words) {
      clearTimeout(timer);
      timer = setTimeout(() => (at("voice").textContent = words), 200);
    }

    const steps = [...root.querySelectorAll(".qp-step")].map((section, k) => start(section, k));
    const again = () => look(root, name, index).then(() => root.querySelector('[tabindex="0"]').focus());
    root.append(legend(index), footer(name, again));
    if (!guesses[0].open) steps[1].section.hidden = true;
    both();

    // One question: its image with the grid, and what is told once it is open.
    function start(section, k) {
      const inside = finder(section);
      const guess = guesses[k];
      const asked = data.questions[k];
      const other = data.questions[1 - k];
      const context = inside("canvas").getContext("2d");
      const button = (key) => section.querySelector(`[name="${key}"]`);
      inside("question").textContent = asked.question;
      inside("said").textContent = saidBy(asked);
      const cells = Array.from({ length: CELLS }, (_, cell) =>
        Object.assign(element("div", ""), { className: "qp-cell", tabIndex: cell ? -1 : 0 }),
      );
      for (let row = 0; row < GRID; row++) {
        const line = element("div", "", { className: "qp-row" });
        line.setAttribute("role", "row");
        line.append(...cells.slice(row * GRID, (row + 1) * GRID));
        inside("grid").append(line);
      }
      cells.forEach((cell) => cell.setAttribute("role", "gridcell"));
      cells.forEach((_, cell) => showCell(cell));

      // What a cell is called: those who do not see the image hear what it shows there.
      function labelOf(cell) {
        const there = Object.entries(things).filter(([, thing]) => thing.inside[cell] > 0.5 * anywhere[cell]);
        const words = [
          `row ${Math.floor(cell / GRID) + 1}`,
          `column ${(cell % GRID) + 1}`,
          ...there.map(([key]) => key),
        ];
        if (guess.open) words.push(`heat ${Math.round((100 * maps[k][cell]) / Math.max(...maps[k]))} % of the maximum`);
        return words.join(", ");
      }

      function showCell(cell) {
        cells[cell].setAttribute("aria-selected", Boolean(guess.marks[cell]));
        cells[cell].setAttribute("aria-label", labelOf(cell));
      }

      function tally() {
        const marked = count(guess.marks);
        inside("count").textContent = marked
          ? `${marked} of ${CELLS} cells marked, ${percent(marked / CELLS)} of the image`
          : `0 of ${CELLS} cells marked`;
        button("reveal").disabled = !marked;
      }

      function mark(cell, on) {
        if (guess.open || Boolean(guess.marks[cell]) === on) return;
        guess.marks[cell] = on ? 1 : 0;
        showCell(cell);
        tally();
        save();
        say(
          `${on ? "marked" : "erased"}: row ${Math.floor(cell / GRID) + 1}, column ${(cell % GRID) + 1}; ` +
            `${count(guess.marks)} of ${CELLS}`,
        );
      }

      function move(cell) {
        cells.forEach((one, i) => (one.tabIndex = i === cell ? 0 : -1));
        cells[cell].focus({ preventScroll: true });
      }

      // -- by pointer: from one reported place to the next in a straight line, so that a quick drag leaves no gaps --
      let drag = null;
      const placeOf = (event) => {
        const box = inside("grid").getBoundingClientRect();
        return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map(
          (part) => Math.min(Math.max(part, 0), 0.9999) * GRID,
        );
      };
      const cellAt = ([x, y]) => Math.floor(y) * GRID + Math.floor(x);
      inside("grid").addEventListener("pointerdown", (event) => {
        if (guess.open || event.button) return;
        event.preventDefault();
        const place = placeOf(event);
        drag = { place, on: !guess.marks[cellAt(place)] };
        inside("grid").setPointerCapture(event.pointerId);
        mark(cellAt(place), drag.on);
        move(cellAt(place));
      });
      inside("grid").addEventListener("pointermove", (event) => {
        if (!drag) return;
        const [from, to] = [drag.place, placeOf(event)];
        const parts = Math.ceil(4 * Math.hypot(to[0] - from[0], to[1] - from[1])) || 1;
        for (let i = 1; i <= parts; i++)
          mark(cellAt([0, 1].map((axis) => from[axis] + ((to[axis] - from[axis]) * i) / parts)), drag.on);
        drag.place = to;
      });
      for (const end of ["pointerup", "pointercancel"]) inside("grid").addEventListener(end, () => (drag = null));

      // -- by keyboard --
      inside("grid").addEventListener("keydown", (event) => {
        const cell = cells.indexOf(event.target);
        if (cell < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
        const [row, column] = [Math.floor(cell / GRID), cell % GRID];
        const to = {
          ArrowRight: [row, column + 1],
          ArrowLeft: [row, column - 1],
          ArrowDown: [row + 1, column],
          ArrowUp: [row - 1, column],
          Home: [row, 0],
          End: [row, GRID - 1],
          PageUp: [0, column],
          PageDown: [GRID - 1, column],
          " ": [row, column],
        }[event.key];
        if (!to) return;
        event.preventDefault();
        if (event.key === " ") return mark(cell, !guess.marks[cell]);
        const next = to.map((value) => Math.min(Math.max(value, 0), GRID - 1));
        if (event.shiftKey) mark(next[0] * GRID + next[1], Boolean(guess.marks[cell]));
        move(next[0] * GRID + next[1]);
      });

      button("clear").addEventListener("click", () => cells.forEach((_, cell) => mark(cell, false)));
      button("copy")?.addEventListener("click", () =>
        cells.forEach((_, cell) => mark(cell, Boolean(guesses[0].marks[cell]))),
      );
      button("reveal").addEventListener("click", () => {
        guess.open = true;
        save();
        show();
        if (k) both();
        else steps[1].section.hidden = false;
        inside("canvas").classList.add("qp-new");
        (k ? at("both") : inside("result")).focus({ preventScroll: true });
      });

      // -- what is seen --
      function show() {
        section.classList.toggle("qp-open", guess.open);
        cells.forEach((_, cell) => showCell(cell));
        tally();
        inside("buttons").hidden = guess.open;
        inside("result").hidden = !guess.open;
        if (!guess.open) return context.drawImage(picture, 0, 0, SIDE, SIDE);
        const lines = newCanvas(SIDE);
        const colour = index.outlines[k];
        paintOutlines(lines.getContext("2d"), [
          { path: edgeOf(guess.marks), colour: "black" },
          { path: things[asked.thing].path, colour },
        ]);
        paintMap(context, pale, maps[k], tints, lines);
        tell(colour);
      }

      function tell(colour) {
        const own = things[asked.thing];
        const marked = count(guess.marks);
        const under = share(maps[k], insideOf(guess.marks), anywhere);
        const on = (map, thing) => share(map, thing.inside, anywhere);
        const line = (thing, words) => [
          `on the ${thing}${words}`,
          ...[on(guess.marks, things[thing]), on(maps[k], things[thing]), things[thing].area].map(percent),
        ];
        const rows = [["", "your marks", "the model’s map", "an even map"], line(asked.thing, " (asked)")];
        if (other.thing !== asked.thing) rows.push(line(other.thing, ""));
        rows.push([`in your ${marked} cell${marked > 1 ? "s" : ""}`, "–", percent(under), percent(marked / CELLS)]);
        const key = element("p", "", { className: "qp-key" });
        key.append(element("b", "", { className: "qp-yours" }), " your marks  ");
        const swatch = element("b", "");
        swatch.style.borderColor = colour;
        key.append(swatch, ` the ${asked.thing}`);
        const numbers = {
          under,
          even: marked / CELLS,
          mine: on(guess.marks, own),
          model: on(maps[k], own),
          area: own.area,
        };
        const words = element("p", lookWords(asked.thing, marked, numbers).replaceAll(" %", "\u00a0%"));
        inside("result").replaceChildren(key, words, table(rows, "Share of the heat, and of your marks"));
      }

      show();
      return { section, show };
    }

    function saidBy({ said, sure, probability }) {
      const own = `The model says ${said} (${Math.round(100 * sure)} %).`;
      return said === data.answer
        ? own
        : `${own} Explained is ${data.answer} (${Math.round(100 * probability)} %), as for the other question.`;
    }

    // Both questions are open: are the two maps alike, and did the reader expect it?
    function both() {
      if (!guesses.every(({ open }) => open)) return;
      const model = cosine(maps[0], maps[1]);
      const reader = cosine(guesses[0].marks, guesses[1].marks);
      at("both").replaceChildren(
        element("p", `The model’s two maps: cosine ${model.toFixed(3)}, ${alikeWords(model)}.`),
        element(
          "p",
          `Your two guesses: cosine ${reader.toFixed(3)}, ${alikeWords(reader)}. ${expectedWords(reader, model)}`,
        ),
        element(
          "small",
          "The cosine is 1 for maps that are the same up to their strength, and 0 for maps without a common cell.",
        ),
      );
      at("both").hidden = false;
    }
  }

  // The rim of the marked cells, as seen on the map.
  function edgeOf(marks) {
    const rim = new Path2D();
    const outside = (row, column) =>
      row < 0 || column < 0 || row >= GRID || column >= GRID || !marks[row * GRID + column];
    marks.forEach((marked, cell) => {
      if (!marked) return;
      const [row, column] = [Math.floor(cell / GRID), cell % GRID];
      const [x, y] = [column * CELL, row * CELL];
      for (const [free, from, to] of [
        [outside(row - 1, column), [x, y], [x + CELL, y]],
        [outside(row + 1, column), [x, y + CELL], [x + CELL, y + CELL]],
        [outside(row, column - 1), [x, y], [x, y + CELL]],
        [outside(row, column + 1), [x + CELL, y], [x + CELL, y + CELL]],
      ])
        if (free) {
          rim.moveTo(...from);
          rim.lineTo(...to);
        }
    });
    return rim;
  }

  function lookWords(thing, marked, { under, even, mine, model, area }) {
    if (Number.isNaN(under)) return "The model’s map is empty: no cell is positive.";
    const times = under / even;
    const found =
      marked === CELLS
        ? "You marked everything, so this says nothing."
        : times >= 1.5
          ? `That is ${times.toFixed(1)} times as much: you saw something of where it looks.`
          : times > 1.1
            ? "That is a little more than random cells would hold."
            : times >= 0.9
              ? "Random cells would hold as much."
              : "That is less than random cells would hold: it looks elsewhere.";
    const chance =
      model > 1.1 * area
        ? `${(model / area).toFixed(1)} times what an even map has`
        : model < 0.9 * area
          ? "less than an even map has"
          : "about what an even map has";
    return (
      `In your ${marked} cell${marked > 1 ? "s" : ""} lies ${percent(under)} of the model’s map; of an even map it ` +
      `would be ${percent(even)}. ${found} On the ${thing} lies ${percent(model)} of the model’s map (${chance}), ` +
      `and ${percent(mine)} of your marks.`
    );
  }

  function alikeWords(value) {
    if (Number.isNaN(value)) return "which has no meaning for an empty map";
    if (value >= 0.95) return "nearly one and the same";
    if (value >= 0.7) return "much alike";
    return value >= 0.3 ? "alike in part" : "hardly alike";
  }

  function expectedWords(reader, model) {
    const [expected, is] = [reader >= 0.7, model >= 0.7];
    if (expected === is)
      return is ? "You expected them to be alike, and they are." : "You expected them to part, and they do.";
    return is ? "You expected the maps to part. They hardly do." : "You expected the maps to be alike. They part.";
  }

  // ============================================== pick: which of two methods is the more grounded one?
  const LETTERS = ["A", "B"];
  const mapBox = (k, side) => `<canvas role="img" width="${SIDE}" height="${SIDE}" data-at="map-${k}-${side}"
    class="qp-map-${side}"></canvas>`;
  const questionRow = (k) =>
    `<p class="qp-question qp-q${k}" data-at="question-${k}"></p>${mapBox(k, 0)}${mapBox(k, 1)}`;

  const pickPage = (id) => `
    <h3 id="${id}-title">Guess first: which maps are the more grounded ones?</h3>
    <p data-at="lead"></p>
    <p class="qp-help">“Too close to call” gives half a point, which is what guessing gives on average. So does every
      answer where the measured difference is too small to see: below <span data-at="visible"></span>.</p>
    <p class="qp-progress" data-at="progress" tabindex="-1"></p>
    <div class="qp-pick">
      <div class="qp-scene"><canvas role="img" width="${SIDE}" height="${SIDE}" data-at="scene"></canvas>
        <p data-at="place"></p></div>
      <div class="qp-maps"><b aria-hidden="true">A</b><b aria-hidden="true">B</b>
        ${questionRow(0)} ${questionRow(1)}</div>
    </div>
    <div class="qp-buttons" data-at="choices" role="group" aria-label="Which is the more grounded one?">
      <button type="button" name="a" class="qp-main">A</button>
      <button type="button" name="b" class="qp-main">B</button>
      <button type="button" name="close">Too close to call</button>
    </div>
    <div class="qp-result" data-at="verdict" tabindex="-1" hidden></div>
    <div class="qp-buttons">
      <button type="button" name="back">Scene before</button>
      <button type="button" name="next" class="qp-main">Next scene</button>
    </div>
    <div class="qp-both" data-at="summary" hidden></div>`;

  async function pick(root, name, index) {
    const data = await load(name);
    const tints = tintsOf(floats(index.heat));
    const id = `qp-${name}`;
    root.innerHTML = pickPage(id);
    const at = finder(root);
    const button = (key) => root.querySelector(`[name="${key}"]`);
    const total = data.items.length;
    const picks = memory.read(name, data.version, arePicks(total)) ?? [];
    const items = data.items.map((item) => measure(item, index.visible));
    let now = Math.min(picks.length, total - 1);

    at("visible").textContent = index.visible;
    const [one, two] = data.methods;
    at("lead").textContent =
      `${total} random validation scenes. In each, the model ${data.model} is asked two questions that have the same ` +
      `answer. One letter is ${one}, the other ${two}, at random. Compare the two maps of a letter: each should be ` +
      "higher on its own object (solid line) than the other map is, relative to the other object (dashed). For which " +
      "letter is that clearer? Only the order of a map’s cells counts, so a map’s strength does not matter.";
    const again = () => pick(root, name, index).then(() => at("progress").focus({ preventScroll: true }));
    root.append(legend(index), footer(name, again));

    // -- one scene --
    async function show() {
      const item = items[now];
      const picture = await image(item.picture);
      const pale = paleOf(picture);
      const paths = item.outlines.map((outline) => new Path2D(outline));
      const lineOf = (k, dashed) => ({ path: paths[k], colour: index.outlines[k], dashed });
      const scene = at("scene").getContext("2d");
      scene.drawImage(picture, 0, 0, SIDE, SIDE);
      paintOutlines(scene, [lineOf(0), lineOf(1)]);
      const where = item.things.map((thing, k) => `The ${thing}: ${regionOf(item.where[k])}.`);
      at("scene").setAttribute("aria-label", `The scene: ${item.about}. ${where.join(" ")}`);
      at("place").textContent = capital(item.about);
      item.questions.forEach((question, k) => {
        at(`question-${k}`).textContent = `${question} Answer: ${item.answer}.`;
        const lines = newCanvas(SIDE);
        paintOutlines(lines.getContext("2d"), [lineOf(1 - k, true), lineOf(k)]);
        LETTERS.forEach((letter, side) => {
          const map = bytes(item.maps[item.order[side]][k]);
          const canvas = at(`map-${k}-${side}`);
          paintMap(canvas.getContext("2d"), pale, map, tints, lines);
          canvas.setAttribute("aria-label", `Map ${letter} for “${question}”: ${regionsOf(map)}`);
        });
      });
      tell();
    }

    // -- what is known so far --
    function tell() {
      const item = items[now];
      const done = now < picks.length;
      const points = picks.reduce((sum, choice, i) => sum + pointsOf(items[i], choice), 0);
      at("progress").textContent =
        `Scene ${now + 1} of ${total}. ` +
        (picks.length ? `You: ${halves(points)} of ${picks.length}; guessing gives ${halves(picks.length / 2)}.` : "");
      at("choices").hidden = done;
      at("verdict").hidden = !done;
      if (done) at("verdict").replaceChildren(...verdict(item, picks[now]));
      button("back").hidden = now === 0;
      button("next").hidden = !done || now === total - 1;
      at("summary").hidden = picks.length < total;
      if (picks.length === total) at("summary").replaceChildren(...summary(points));
    }

    function verdict(item, choice) {
      const names = item.order.map((m) => data.methods[m]);
      const [a, b] = item.order.map((m) => item.effects[m]);
      const points = pointsOf(item, choice);
      const [more, less] = [Math.max(a, b), Math.min(a, b)].map(signed);
      const which =
        item.better === "close"
          ? `The effects differ by ${signed(Math.abs(a - b))}: too little to see, so every answer gives half a point.`
          : `${capital(item.better)} is the more grounded one: its effect is ${more}, the other’s ${less}.`;
      const both =
        a <= index.tie && b <= index.tie && item.better !== "close"
          ? " Neither pair follows its questions: the second question’s map ranks the first object as high or higher."
          : "";
      const yours = { 1: "Right: 1 point.", 0: "Not so: no point." }[points] ?? "Half a point.";
      const heads = ["a₁, first map", "a₂, second map", "effect a₁ − a₂", "passes", "share, own", "share, other"];
      const rows = [["", ...heads]].concat(
        item.order.map((m, side) => [
          `${LETTERS[side]}: ${names[side]}`,
          ...item.ranks[m].slice(0, 2).map(percent),
          signed(item.effects[m]),
          { 1: "yes", 0.5: "tie", 0: "no" }[item.ranks[m][2]],
          percent(item.own[m]),
          percent(item.other[m]),
        ]),
      );
      const text = element("p", "");
      text.append(element("strong", yours), ` A is ${names[0]}, B is ${names[1]}. ${which}${both}`);
      const [first, second] = item.things;
      const caption =
        `a₁ and a₂: how often the first and the second question’s map is higher at a random cell of the ${first} ` +
        `than at one of the ${second}. A pair passes if a₁ is larger. Shares: on a map’s own object and on the other ` +
        "one, mean of both maps.";
      return [text, table(rows, caption)];
    }

    function summary(points) {
      const better = (m) =>
        items.filter((item) => item.better !== "close" && item.order[item.better === "a" ? 0 : 1] === m).length;
      const grounded = (m) => items.reduce((sum, { ranks }) => sum + ranks[m][2], 0);
      const close = items.filter((item) => item.better === "close").length;
      const rows = [["", "visibly larger effect", "passes the test", "mean effect"]].concat(
        data.methods.map((method, m) => [
          capital(method),
          `${better(m)} of ${total}`,
          `${halves(grounded(m))} of ${total}`,
          signed(mean(items.map(({ effects }) => effects[m]))),
        ]),
      );
      const asMany = Math.round(100 * luck(points, total - close, close));
      const words = { a: "A", b: "B", close: "too close" };
      const scenes = items.map((item, i) => [
        `${i + 1}. ${item.things.join(", ")}`,
        words[picks[i]],
        item.better === "close"
          ? "too close"
          : `${words[item.better]}: ${data.methods[item.order[item.better === "a" ? 0 : 1]]}`,
        halves(pointsOf(item, picks[i])),
      ]);
      const details = element("details", "");
      details.append(
        element("summary", "All scenes"),
        table([["", "you", "more grounded", "points"], ...scenes], "Your picks and the measure’s"),
      );
      return [
        element(
          "p",
          `You: ${halves(points)} of ${total}. Somebody who tosses a coin between A and B gets ${halves(total / 2)} ` +
            `on average, and as many points as you or more in ${asMany} of 100 cases.`,
        ),
        table(rows, "What the measure says of these scenes"),
        element(
          "p",
          `A pair of maps passes if the first question’s map ranks the first object above the second more surely ` +
            `than the second question’s map does (rank grounding). Two equal maps tie, and count one ` +
            `half. And ${total} scenes are few: the chapters count hundreds.`,
        ),
        details,
      ];
    }

    // -- events --
    for (const key of ["a", "b", "close"])
      button(key).addEventListener("click", () => {
        picks[now] = key;
        memory.write(name, data.version, picks);
        tell();
        at("verdict").focus({ preventScroll: true });
      });
    for (const [key, by] of [
      ["back", -1],
      ["next", 1],
    ])
      button(key).addEventListener("click", () => {
        now += by;
        show().then(() => at("progress").focus()); // and scroll there, as the maps are above the button
      });
    await show();
  }

  // Rank effects, a_1 − a_2 of qgc.measure.rank_grounding, and which letter has the visibly larger one.
  function measure(item, visible) {
    const [own, other] = [0, 1].map((i) => item.shares.map((pair) => mean(pair.map((shares) => shares[i]))));
    const effects = item.ranks.map(([first, second]) => first - second);
    const order = item.swap ? [1, 0] : [0, 1];
    const ahead = effects[order[0]] - effects[order[1]];
    const better = Math.abs(ahead) < visible ? "close" : ahead > 0 ? "a" : "b";
    return { ...item, own, other, effects, order, better };
  }

  const pointsOf = (item, choice) => ([item.better, choice].includes("close") ? 0.5 : Number(item.better === choice));

  // How likely a coin gets at least so many points over `tosses` scenes, the `close` ones giving it a half each.
  function luck(points, tosses, close) {
    const least = Math.ceil(points - close / 2);
    let [ways, sum] = [1, 0];
    for (let k = 0; k <= tosses; k++) {
      if (k >= least) sum += ways;
      ways = (ways * (tosses - k)) / (k + 1);
    }
    return sum / 2 ** tosses;
  }

  // -- maps in words, for those who do not see them: parts of the image, three by three --
  const third = (part) => Math.min(Math.floor(3 * part), 2);
  const PLACES = ["upper left", "top", "upper right", "left", "middle", "right", "lower left", "bottom", "lower right"];
  const regionOf = ([x, y]) => PLACES[3 * third(y) + third(x)];

  function regionsOf(map) {
    const sums = new Float64Array(9);
    map.forEach((value, cell) => {
      sums[3 * third((Math.floor(cell / GRID) + 0.5) / GRID) + third(((cell % GRID) + 0.5) / GRID)] += value;
    });
    const all = sums.reduce((a, b) => a + b);
    if (!all) return "empty.";
    const most = [...sums.keys()].sort((a, b) => sums[b] - sums[a]).slice(0, 4);
    return `${most.map((i) => `${PLACES[i]} ${Math.round((100 * sums[i]) / all)} %`).join(", ")}.`;
  }

  // -- begin: an exercise is loaded when it is about to come into view ----------------------------------
  async function begin(root) {
    const name = root.dataset.exercise;
    const fallback = root.innerHTML;
    try {
      const index = await load("index");
      root.style.setProperty("--qp-first", index.outlines[0]);
      root.style.setProperty("--qp-second", index.outlines[1]);
      const kind = { look, pick }[index.exercises[name]];
      if (!kind) throw new Error(`no exercise is called “${name}”.`);
      await kind(root, name, index);
      root.setAttribute("role", "group");
      root.setAttribute("aria-labelledby", `qp-${name}-title`);
      root.dataset.ready = "yes";
    } catch (error) {
      root.innerHTML = fallback; // the page reads well without the exercise
      const again = () => {
        root.innerHTML = fallback;
        begin(root);
      };
      const words = `The exercise could not start: ${error.message}`;
      root.append(element("p", words, { className: "qgc-problem" }), footer(name, again));
    }
  }

  whenNear(".qgc-predict", begin);
})();
